"""What all baselines share: empty coarse masks stay, and a refinement that comes out empty leaves the coarse mask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from samref.structures import EMPTY, FALLBACK, REFINED, BoolArray, FloatArray, Prompts, Refinement, Sample


def refine_each(
    sample: Sample,
    refine: Callable[[int], BoolArray | None],
    timing: dict[str, float],
    logits: FloatArray | None = None,
) -> Refinement:
    """Refines the masks of an image one by one.

    There are no candidates to choose among: `chosen` is -1, predicted IoUs are 0 and `candidate_iou` is None, so that
    nothing claims a top-1 accuracy.

    Args:
        sample: of any data set.
        refine: turns the place of a coarse mask that is not empty into its H x W bool refinement, or None.
        timing: seconds by stage; may go on growing until the last mask is refined.
        logits: N x H x W float32 that `refine` fills, or None.
    """
    count = len(sample.masks)
    masks, flags = sample.masks.copy(), [EMPTY] * count
    for row in range(count):
        if not sample.masks[row].any():
            continue
        refined, flags[row] = refine(row), FALLBACK
        if refined is not None and refined.any():
            masks[row], flags[row] = refined, REFINED
    return Refinement(
        masks=masks,
        chosen=np.full(count, -1, dtype=np.int64),
        predicted_iou=np.zeros(count, dtype=np.float32),
        iou_predictions=np.zeros((count, 3), dtype=np.float32),
        prompts=Prompts(),
        flags=tuple(flags),
        logits=logits,
        timing=timing,
    )


def blank_logits(sample: Sample) -> FloatArray:
    """N x H x W float32 of the lowest value: where nothing is refined, nothing wins a pixel."""
    return np.full(sample.masks.shape, -np.inf, dtype=np.float32)
