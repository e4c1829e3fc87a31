"""Do no harm: keep the coarse mask where its refinement is implausible.

A prompt that names the wrong thing (two objects merged in one mask, parts too thin for the model) makes SAM return
another object or a part of it, and such a mask disagrees with the coarse mask it came from or is one the model itself
doubts. And where the coarse mask is good already, one of the three candidates is often nearly the same: that the model
sees the same object there on its own confirms it, and a choice that departs from it then does harm. All this is known
without any ground truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samref.errors import ConfigError
from samref.geometry.masks import pair_iou
from samref.structures import KEPT, REFINED, BoolArray, Refinement


@dataclass(frozen=True)
class Guard:
    """When a refinement is implausible.

    Attributes:
        enabled: whether it does anything at all.
        min_agreement: IoU with the coarse mask below which the coarse mask is kept.
        min_predicted_iou: predicted IoU of the chosen candidate below which the coarse mask is kept; it does not apply
            to refiners that predict none.
        min_trust: the same for the product of the two.
        confirming: IoU with the coarse mask from which a candidate confirms it; 0: none is looked at.
        max_gap: where the coarse mask is confirmed, how much less than the confirming candidate the chosen one may
            agree with it before the coarse mask is kept.

    Raises:
        ConfigError: for a threshold outside 0 to 1.
    """

    enabled: bool
    min_agreement: float
    min_predicted_iou: float
    min_trust: float
    confirming: float = 0.0
    max_gap: float = 0.0

    def __post_init__(self) -> None:
        for name in ("min_agreement", "min_predicted_iou", "min_trust", "confirming", "max_gap"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"guard.{name} is {getattr(self, name)}; expected a fraction, 0 switches it off")

    def __call__(self, coarse: BoolArray, refinement: Refinement) -> Refinement:
        """Gives coarse masks back where the refinement is implausible.

        Args:
            coarse: N x H x W bool, what was refined.
            refinement: changed in place: `masks`, `rejected` and `flags` (`kept`; a fallback stays one).
        """
        if not self.enabled:
            return refinement
        flags = list(refinement.flags)
        for k, flag in enumerate(flags):
            if flag == REFINED and self.doubts(coarse[k], refinement, k):
                refinement.rejected[k] = refinement.masks[k].copy()
                refinement.masks[k] = coarse[k]
                flags[k] = KEPT
                if refinement.logits is not None:
                    # What is kept must win against neighbors by no more than it did as a coarse mask.
                    refinement.logits[k] = np.where(coarse[k], 0.0, -np.inf)
        refinement.flags = tuple(flags)
        return refinement

    def needs_candidates(self) -> bool:
        """Whether the candidates' IoU with the coarse masks is wanted, which costs a refiner some time."""
        return self.enabled and self.confirming > 0

    def doubts(self, coarse: BoolArray, refinement: Refinement, k: int) -> bool:
        """Whether a refined mask is implausible.

        Args:
            coarse: H x W bool, the coarse mask.
            refinement: of all masks of the image.
            k: index of the mask in it.

        Returns:
            True where the coarse mask should stay.
        """
        agreement = pair_iou(coarse, refinement.masks[k])
        if agreement < self.min_agreement:
            return True
        if self.confirming > 0 and refinement.coarse_iou is not None:
            most = float(np.max(refinement.coarse_iou[k]))
            if most >= self.confirming and most - agreement > self.max_gap:
                return True
        predicted_iou = float(refinement.predicted_iou[k])
        # Exactly 0 stands for none; SAM's head regresses and may predict less.
        if predicted_iou == 0:
            return False
        fraction = min(max(predicted_iou, 0.0), 1.0)
        return fraction < self.min_predicted_iou or agreement * fraction < self.min_trust
