"""What becomes of single masks: hypotheses are decoded, vote, and edges decide, by the recipe of the masks' source."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from samref.backbones.backbone import Backbone
from samref.errors import ConfigError
from samref.geometry.masks import pair_iou
from samref.prompts.excavation import Excavator
from samref.refiners.candidates import candidate_iou, candidate_masks, full_logits
from samref.refiners.edges import edge_strength, edge_support
from samref.refiners.hypotheses import Hypotheses, decode_hypotheses, parts_of
from samref.refiners.source import AUTO, BOXES, NETWORK, POLYGONS, ROUGH_DISTANCE, SUPERPIXELS, Evidence, is_box_like
from samref.refiners.views import View
from samref.refiners.vote import SATURATION, Vote, fuse
from samref.structures import FALLBACK, KEPT, REFINED, Embedding, FloatArray, IntArray, Refinement, Sample

# What decides about a single mask: the combinations whose disagreement shows how rough its outline is.
EVIDENCE = ("all", "box", "point_box")

REASONS = {
    BOXES: "box-like coarse mask: box prompt",
    POLYGONS: "rough outline: vote of the candidates",
    NETWORK: "vote of the candidates and the coarse mask",
    SUPERPIXELS: "vote of the candidates and the coarse mask, whose contour follows edges",
}
KEPT_BY_EDGES = "kept: edges support the coarse contour"
KEPT_APART = "kept: the refinement overlaps too little with the coarse mask"
KEPT_AS_GOOD = "kept: the masks of this data set are good"
KEPT_EMPTY = "kept: the refinement came out empty"


@dataclass(frozen=True)
class Recipe:
    """How the masks of one source are treated.

    Attributes:
        hypotheses: prompt combinations whose candidates vote.
        coarse_weight: the coarse mask's share of the vote, in [0, 0.5); from 0.5 on it would always win.
        edges: whether the result must have more edge support than the coarse mask.
        keep: whether the coarse masks stay as they are.
        min_overlap: IoU that result and coarse mask must have, in [0, 1); 0 demands none. Where the coarse masks of a
            data set are good, a result that departs from one of them is of something else.

    Raises:
        ConfigError: for a share or an IoU outside its range, or unknown combinations.
    """

    hypotheses: Sequence[str]
    coarse_weight: float
    edges: bool
    keep: bool = False
    min_overlap: float = 0

    def __post_init__(self) -> None:
        if not 0 <= self.min_overlap < 1:
            raise ConfigError(f"verdict has a min_overlap of {self.min_overlap}; expected an IoU from 0 to below 1")
        if not 0 <= self.coarse_weight < 0.5:
            raise ConfigError(
                f"verdict has a coarse_weight of {self.coarse_weight}; expected a share from 0 to below 0.5"
            )
        if not self.hypotheses:
            raise ConfigError(
                "verdict has a recipe without hypotheses; expected prompt combinations such as [all, box]"
            )
        for name in self.hypotheses:
            parts_of(name)


class Judge:
    """The masks of one image, or of a part of it, and what has been found out about them.

    Where the part is of an image that has a judge of its own, the votes of both count alike.
    """

    def __init__(
        self,
        recipes: Mapping[str, Recipe],
        sample: Sample,
        embedding: Embedding,
        backbone: Backbone,
        excavator: Excavator,
        image: Judge | None = None,
        view: View | None = None,
    ) -> None:
        self.recipes, self.sample, self.embedding = recipes, sample, embedding
        self.backbone, self.excavator = backbone, excavator
        self.image, self.view = image, view
        grid = backbone.mask_input_size
        self.size = tuple(
            max(1, -(-length * cells // backbone.img_size))
            for length, cells in zip(embedding.input_size, grid, strict=True)
        )

    @cached_property
    def strength(self) -> FloatArray:
        """Of the edges of what this judge sees."""
        return edge_strength(self.sample.image)

    def grouped(self, rows: Iterable[int], source: str) -> dict[tuple[str, ...], list[int]]:
        """The masks by the hypotheses they need."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for row in rows:
            groups.setdefault(self._hypotheses(int(row), source), []).append(int(row))
        return groups

    def _hypotheses(self, row: int, source: str) -> tuple[str, ...]:
        known = self._known(row, source)
        if known is not None:
            return tuple(self.recipes[known].hypotheses)
        recipes = (self.recipes[name].hypotheses for name in (POLYGONS, NETWORK))
        return tuple(dict.fromkeys([*EVIDENCE, *(name for names in recipes for name in names)]))

    def _known(self, row: int, source: str) -> str | None:
        """The treatment that is settled before anything is decoded."""
        if source in (AUTO, BOXES, POLYGONS) and is_box_like(self.sample.masks[row]):
            return BOXES
        return None if source in (AUTO, BOXES) else source

    def decode(self, rows: Sequence[int], names: Sequence[str]) -> Hypotheses:
        """Hypotheses of some masks."""
        masks = [self.sample.masks[row] for row in rows]
        found = decode_hypotheses(self.backbone, self.excavator, masks, self.embedding, names)
        if self.image is None or self.view is None:
            return found
        return replace(found, image=self.image.decode([int(self.view.rows[row]) for row in rows], names))

    def evidence(self, rows: IntArray) -> list[Evidence]:
        """What each of some masks shows of the source."""
        found = self.decode([int(row) for row in rows], EVIDENCE)
        return [self._evidence(found, k, int(row)) for k, row in enumerate(rows)]

    def _evidence(self, found: Hypotheses, k: int, row: int) -> Evidence:
        coarse = self.sample.masks[row]
        mask = self._logits(found, k, EVIDENCE)[1] > 0
        support = edge_support(self.strength, mask, coarse)
        return Evidence(
            is_box_like(coarse),
            support.for_refinement if support.decided else None,
            support.distance,
            pair_iou(mask, coarse),
        )

    def settle(self, found: Hypotheses, k: int, row: int, source: str, result: Refinement) -> None:
        """Writes what becomes of mask `row`, the k-th of those decoded."""
        coarse = self.sample.masks[row]
        kind = self._known(row, source) or self._own(self._evidence(found, k, row))
        recipe = self.recipes[kind]
        vote, logits = self._logits(found, k, recipe.hypotheses)
        unaided = logits > 0
        if recipe.coarse_weight:
            share = np.where(coarse, np.float32(recipe.coarse_weight), np.float32(-recipe.coarse_weight))
            logits = np.float32(1 - recipe.coarse_weight) * logits + share
        mask = logits > 0
        flag, reason = REFINED, REASONS.get(kind, "")
        if recipe.keep:
            flag, reason = KEPT, KEPT_AS_GOOD
        elif not mask.any():
            flag, reason = FALLBACK, KEPT_EMPTY
        elif recipe.edges and not edge_support(self.strength, mask, coarse).for_refinement:
            flag, reason = KEPT, KEPT_BY_EDGES
        elif recipe.min_overlap and pair_iou(mask, coarse) < recipe.min_overlap:
            flag, reason = KEPT, KEPT_APART
        result.masks[row] = mask if flag == REFINED else coarse
        if flag == KEPT and not np.array_equal(mask, coarse):
            result.rejected[row] = mask
        self._record(found, k, row, recipe, vote, result)
        assert result.scores is not None
        assert result.reasons is not None
        result.scores[row] = trust(vote.agreement, pair_iou(result.masks[row], unaided))
        result.flags = (*result.flags[:row], flag, *result.flags[row + 1 :])
        result.reasons = (*result.reasons[:row], reason, *result.reasons[row + 1 :])
        if result.logits is not None:
            kept = np.where(coarse, 0.0, -np.inf)
            result.logits[row] = SATURATION * logits if flag == REFINED else kept

    def _own(self, evidence: Evidence) -> str:
        """The treatment that a single mask's own evidence calls for, where no source is known."""
        return POLYGONS if evidence.supported and evidence.distance >= ROUGH_DISTANCE else NETWORK

    def _logits(self, found: Hypotheses, k: int, names: Sequence[str]) -> tuple[Vote, FloatArray]:
        """The vote on one mask, and its logits in image px, into which the image's own vote goes where there is one."""
        vote = self._vote(found, k, names)
        logits = full_logits(torch.from_numpy(vote.logits), self.embedding, self.backbone.img_size)
        if found.image is None or self.image is None or self.view is None or self.view.window is None:
            return vote, logits
        of_image = self.image._logits(found.image, k, names)[1][self.view.window.slices]
        return vote, np.float32(0.5) * (logits + of_image)

    def _vote(self, found: Hypotheses, k: int, names: Sequence[str]) -> Vote:
        places = [3 * found.names.index(name) + candidate for name in names for candidate in range(3)]
        logits, predicted = found.logits(k)[places].numpy(), found.iou_predictions(k)[places].numpy()
        return fuse(logits, predicted, (self.size[0], self.size[1]))

    def _record(self, found: Hypotheses, k: int, row: int, recipe: Recipe, vote: Vote, result: Refinement) -> None:
        """Notes the highest scored candidate, the other two of its combination, and the truth's view of them."""
        best = int(np.argmax(vote.scores))
        candidates = found.candidates[found.names.index(recipe.hypotheses[best // 3])]
        result.chosen[row] = best % 3
        result.predicted_iou[row] = vote.predicted_iou
        result.iou_predictions[row] = candidates.multi_iou[k].float().cpu().numpy()
        img_size = self.backbone.img_size
        if result.candidate_iou is not None and self.sample.truth is not None:
            one = type(candidates)(
                candidates.low_res_logits[k : k + 1],
                candidates.iou_predictions[k : k + 1],
                candidates.iou_features[k : k + 1],
            )
            reference = [self.sample.truth[row]]
            result.candidate_iou[row] = candidate_iou(one, self.embedding, img_size, reference)[0]
        if result.candidates is not None:
            result.candidates[row] = candidate_masks(candidates, k, self.embedding, img_size)


def trust(agreement: float, kept_of_vote: float) -> float:
    """How much a result is trusted, in [0, 1].

    Args:
        agreement: mean IoU of the candidates with each other.
        kept_of_vote: IoU of the result with the vote of the candidates alone.

    Returns:
        The square root of their product, in [0, 1].
    """
    return math.sqrt(min(max(agreement * kept_of_vote, 0.0), 1.0))
