"""The best of several refiners, mask by mask, without labels: the contour with the most edge support wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from omegaconf import DictConfig

from samref.backbones.backbone import Backbone
from samref.config.compose import build, unused_groups
from samref.errors import ConfigError
from samref.geometry.masks import pair_iou
from samref.prompts.excavation import Excavator
from samref.refiners.edges import edge_strength, edge_support
from samref.refiners.samrefiner import Refiner, SAMRefiner
from samref.refiners.settling import MaskRefiner
from samref.structures import EMPTY, KEPT, BoolArray, FloatArray, Prompts, Refinement, Sample

COARSE = "coarse"


class BestOf(MaskRefiner):
    """Runs several refiners and takes for each mask the result of one of them.

    Every two of these hypotheses are compared by the image's edges where their contours differ
    (`samref.refiners.edges`). The one that wins most often is taken, of equals the one that agrees best with the
    others. `timing` adds up that of all.
    """

    def __init__(
        self,
        hypotheses: Sequence[str],
        members: Mapping[str, Any],
        backbone: Backbone | None = None,
        prompts: Excavator | None = None,
    ) -> None:
        """Builds the refiners.

        Args:
            hypotheses: names of the refiners; `coarse` stands for the coarse mask as it is.
            members: by name, refiners or their configurations, of which those that are named are built.
            backbone: for those that take one.
            prompts: for those that take some.

        Raises:
            ConfigError: for a name that is not known or given twice, or fewer than two.
        """
        names = list(hypotheses)
        known = [COARSE, *members]
        if unknown := [name for name in names if name not in known]:
            raise ConfigError(f"refiner.hypotheses names '{unknown[0]}'; expected some of {', '.join(known)}")
        if len(names) < 2 or len(set(names)) < len(names):
            raise ConfigError(f"refiner.hypotheses is [{', '.join(names)}]; expected two different ones or more")
        self.names = tuple(names)
        self.backbone = backbone
        parts = {"backbone": backbone, "prompts": prompts}
        self.members: dict[str, Refiner] = {name: _built(members[name], parts) for name in names if name != COARSE}

    @property
    def sam(self) -> SAMRefiner | None:
        """The member that verdict and zoom belong to, if there is one."""
        return next((member for member in self.members.values() if isinstance(member, SAMRefiner)), None)

    def refine_sample(self, sample: Sample, *, keep_candidates: bool = False, keep_logits: bool = False) -> Refinement:
        """Refines the coarse masks of one image.

        `origins` names the refiner that each mask is from, `scores` is its mean IoU with the other hypotheses. Logits
        are the winner's own; one that leaves none gives 0 to its foreground.

        Args:
            sample: image and coarse masks; ground truth is not looked at.
            keep_candidates: whether those of the SAMRefiner among them are wanted.
            keep_logits: whether `Refinement.logits` is wanted.

        Returns:
            The refined masks, in the sample's order.
        """
        found = {
            name: member.refine_sample(sample, keep_candidates=keep_candidates, keep_logits=keep_logits)
            for name, member in self.members.items()
        }
        count = len(sample.masks)
        strength = edge_strength(sample.image) if sample.masks.any() else None
        result = self._blank(sample, found, keep_candidates, keep_logits)
        for row in range(count):
            if strength is not None and sample.masks[row].any():
                masks = [sample.masks[row] if name == COARSE else found[name].masks[row] for name in self.names]
                place, agreement = best_supported(strength, masks)
                _take(result, sample, row, self.names[place], agreement, found.get(self.names[place]))
        return result

    def _blank(
        self, sample: Sample, found: Mapping[str, Refinement], keep_candidates: bool, keep_logits: bool
    ) -> Refinement:
        """The coarse masks, with what is there of prompts and candidates whoever wins."""
        count, size = len(sample.masks), sample.original_size
        sam = next((found[name] for name, member in self.members.items() if isinstance(member, SAMRefiner)), None)
        timing: dict[str, float] = {}
        for one in found.values():
            for stage, seconds in one.timing.items():
                timing[stage] = timing.get(stage, 0.0) + seconds
        return Refinement(
            masks=sample.masks.copy(),
            chosen=np.full(count, -1, dtype=np.int64),
            predicted_iou=np.zeros(count, dtype=np.float32),
            iou_predictions=np.zeros((count, 3), dtype=np.float32) if sam is None else sam.iou_predictions,
            prompts=Prompts() if sam is None else sam.prompts,
            flags=(EMPTY,) * count,
            candidates=None if sam is None else sam.candidates,
            logits=np.full((count, *size), -np.inf, dtype=np.float32) if keep_logits else None,
            reasons=("",) * count,
            scores=np.zeros(count, np.float32),
            origins=("",) * count,
            timing=timing,
        )


def best_supported(strength: FloatArray, masks: Sequence[BoolArray]) -> tuple[int, float]:
    """The mask whose contour the image's edges support most often against the others.

    Args:
        strength: H x W, of `edge_strength`.
        masks: K masks, H x W bool.

    Returns:
        Its place, and its mean IoU with the others. Empty masks never win against others.
    """
    count = len(masks)
    wins, overlap = np.zeros(count), np.zeros((count, count))
    for a in range(count):
        for b in range(a + 1, count):
            overlap[a, b] = overlap[b, a] = pair_iou(masks[a], masks[b])
            support = edge_support(strength, masks[a], masks[b])
            if support.decided:
                wins[a if support.refined > support.coarse else b] += 1
    agreement = overlap.sum(axis=1) / (count - 1)
    order = sorted(range(count), key=lambda k: (masks[k].any(), wins[k], agreement[k], -k))
    return order[-1], float(agreement[order[-1]])


def _built(member: Any, parts: Mapping[str, Any]) -> Refiner:
    if not isinstance(member, DictConfig):
        refiner: Refiner = member
        return refiner
    left_out = unused_groups(member)
    built: Refiner = build(member, **{name: part for name, part in parts.items() if name not in left_out})
    return built


def _take(result: Refinement, sample: Sample, row: int, name: str, agreement: float, winner: Refinement | None) -> None:
    """Writes the mask of one hypothesis into the result; None stands for the coarse mask."""
    assert result.reasons is not None
    assert result.scores is not None
    assert result.origins is not None
    reason, flag = f"{name}: edges support its contour", KEPT
    if winner is not None:
        result.masks[row], flag = winner.masks[row], winner.flags[row]
        result.chosen[row], result.predicted_iou[row] = winner.chosen[row], winner.predicted_iou[row]
        if winner.reasons is not None and winner.reasons[row]:
            reason = f"{name}: {winner.reasons[row]}"
        if row in winner.rejected:
            result.rejected[row] = winner.rejected[row]
    if result.logits is not None:
        own = None if winner is None else winner.logits
        result.logits[row] = np.where(result.masks[row], 0.0, -np.inf) if own is None else own[row]
    result.scores[row] = agreement
    for name_, values in (("flags", flag), ("reasons", reason), ("origins", name)):
        changed = list(getattr(result, name_))
        changed[row] = values
        setattr(result, name_, tuple(changed))
