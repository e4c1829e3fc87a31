"""A result in which nothing has been refined yet."""

from __future__ import annotations

import numpy as np

from samref.structures import EMPTY, Prompts, Refinement, Sample


def blank(sample: Sample, keep_candidates: bool, keep_logits: bool, keep_coarse_iou: bool) -> Refinement:
    """The coarse masks, flagged as empty.

    Args:
        sample: image and coarse masks.
        keep_candidates: whether there is room for the three candidates of each mask.
        keep_logits: whether there is room for logits in image px.
        keep_coarse_iou: whether there is room for the candidates' IoUs with the coarse masks.
    """
    count, size = len(sample.masks), sample.original_size
    return Refinement(
        masks=sample.masks.copy(),
        chosen=np.full(count, -1, dtype=np.int64),
        predicted_iou=np.zeros(count, dtype=np.float32),
        iou_predictions=np.zeros((count, 3), dtype=np.float32),
        prompts=Prompts(),
        flags=(EMPTY,) * count,
        candidate_iou=None if sample.truth is None else np.full((count, 3), np.nan),
        coarse_iou=np.full((count, 3), np.nan) if keep_coarse_iou else None,
        candidates=np.zeros((count, 3, *size), dtype=bool) if keep_candidates else None,
        logits=np.full((count, *size), -np.inf, dtype=np.float32) if keep_logits else None,
    )
