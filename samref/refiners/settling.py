"""What refiners without candidates share: empty coarse masks stay, and what comes out empty leaves the coarse mask."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from samref.io.inputs import ImageLike, as_image, as_masks
from samref.structures import EMPTY, FALLBACK, KEPT, REFINED, BoolArray, FloatArray, Prompts, Refinement, Sample


class Kept(NamedTuple):
    """What a refiner returns for a mask that it leaves as it is.

    Attributes:
        reason: why, for the table of samples.
    """

    reason: str


class MaskRefiner(ABC):
    """A refiner that is also used from Python, one image at a time."""

    @abstractmethod
    def refine_sample(self, sample: Sample, *, keep_candidates: bool = False, keep_logits: bool = False) -> Refinement:
        """Refines the coarse masks of one image; see `samref.refiners.samrefiner.Refiner`."""

    def refine(self, image: ImageLike, masks: npt.ArrayLike, *, keep_logits: bool = False) -> Refinement:
        """Refines the coarse masks of one image.

        Args:
            image: H x W x 3 uint8 RGB array, a PIL image or a path.
            masks: H x W or N x H x W; bool, 0/1 or 0/255.
            keep_logits: whether to return log-odds in image px.

        Raises:
            InputError: (a `ValueError`) for a mask of another size or with other values, or a non-RGB image.
        """
        pixels = as_image(image)
        coarse = as_masks(masks, (pixels.shape[0], pixels.shape[1]), "mask")
        return self.refine_sample(Sample(pixels, coarse, "image", tuple(range(len(coarse)))), keep_logits=keep_logits)


def refine_each(
    sample: Sample,
    refine: Callable[[int], BoolArray | Kept | None],
    timing: dict[str, float],
    logits: FloatArray | None = None,
) -> Refinement:
    """Refines the masks of an image one by one.

    There are no candidates to choose among: `chosen` is -1, predicted IoUs are 0 and `candidate_iou` is None, so that
    nothing claims a top-1 accuracy.

    Args:
        sample: of any data set.
        refine: turns the place of a coarse mask that is not empty into its H x W bool refinement, or None, or returns
            why the mask stays as it is.
        timing: seconds by stage; may go on growing until the last mask is refined.
        logits: N x H x W float32 that `refine` fills, or None.
    """
    count = len(sample.masks)
    masks, flags, reasons = sample.masks.copy(), [EMPTY] * count, [""] * count
    for row in range(count):
        if not sample.masks[row].any():
            continue
        refined = refine(row)
        if isinstance(refined, Kept):
            flags[row], reasons[row] = KEPT, refined.reason
        elif refined is not None and refined.any():
            masks[row], flags[row] = refined, REFINED
        else:
            flags[row] = FALLBACK
        if flags[row] != REFINED and logits is not None:
            # What stays must win against neighbors by no more than it did as a coarse mask.
            logits[row] = np.where(sample.masks[row], 0.0, -np.inf)
    return Refinement(
        masks=masks,
        chosen=np.full(count, -1, dtype=np.int64),
        predicted_iou=np.zeros(count, dtype=np.float32),
        iou_predictions=np.zeros((count, 3), dtype=np.float32),
        prompts=Prompts(),
        flags=tuple(flags),
        logits=logits,
        reasons=tuple(reasons) if any(reasons) else None,
        timing=timing,
    )


def blank_logits(sample: Sample) -> FloatArray:
    """N x H x W float32 of the lowest value: where nothing is refined, nothing wins a pixel."""
    return np.full(sample.masks.shape, -np.inf, dtype=np.float32)


def log_odds(probability: FloatArray, shift: float = 0.0) -> FloatArray:
    """Logits of probabilities, finite also for 0 and 1; `shift` is added."""
    inside = probability.clip(np.finfo(np.float32).tiny, 1 - np.finfo(np.float32).epsneg)
    odds: FloatArray = np.log(inside) - np.log1p(-inside) + np.float32(shift)
    return odds
