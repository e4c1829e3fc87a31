"""Do no harm: keep the coarse mask where its refinement is implausible.

A prompt that names the wrong thing (two objects merged in one mask, parts too thin for the model) makes SAM return
another object or a part of it, and such a mask disagrees with the coarse mask it came from or is one the model itself
doubts. Both are known without any ground truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samref.errors import ConfigError
from samref.masks import pair_iou
from samref.structures import KEPT, REFINED, BoolArray, Refinement


@dataclass(frozen=True)
class Guard:
    """When a refinement is implausible.

    Attributes:
        enabled: whether it does anything at all.
        min_agreement: IoU with the coarse mask below which the coarse mask is kept.
        min_predicted_iou: predicted IoU of the chosen candidate below which the coarse mask is kept; refiners that
            predict none are not asked.
        min_trust: the same for the product of the two.
    """

    enabled: bool
    min_agreement: float
    min_predicted_iou: float
    min_trust: float

    def __post_init__(self) -> None:
        for name in ("min_agreement", "min_predicted_iou", "min_trust"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"guard.{name} is {getattr(self, name)}; expected a fraction, 0 switches it off")

    def __call__(self, coarse: BoolArray, refinement: Refinement) -> Refinement:
        """Gives coarse masks back where the refinement is implausible.

        Args:
            coarse: N x H x W bool, what was refined.
            refinement: changed in place: `masks`, and `flags` (`kept`; a fallback stays one).
        """
        if not self.enabled:
            return refinement
        flags = list(refinement.flags)
        for k, flag in enumerate(flags):
            if flag == REFINED and self.doubts(coarse[k], refinement.masks[k], float(refinement.predicted_iou[k])):
                refinement.masks[k] = coarse[k]
                flags[k] = KEPT
                if refinement.logits is not None:
                    # What is kept must win against neighbours by no more than it did as a coarse mask.
                    refinement.logits[k] = np.where(coarse[k], 0.0, -np.inf)
        refinement.flags = tuple(flags)
        return refinement

    def doubts(self, coarse: BoolArray, refined: BoolArray, predicted_iou: float) -> bool:
        """Whether one refined mask is implausible."""
        agreement = pair_iou(coarse, refined)
        if agreement < self.min_agreement:
            return True
        if predicted_iou <= 0:
            return False
        trust = agreement * min(predicted_iou, 1.0)
        return predicted_iou < self.min_predicted_iou or trust < self.min_trust
