"""`supervision.Detections` in and out: masks, or else boxes, with all that belongs to each detection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from samref.errors import InputError
from samref.geometry.masks import tight_boxes
from samref.structures import REFINED, BoolArray, Refinement

FLAG, SCORE = "samref_flag", "samref_score"


@runtime_checkable
class Detections(Protocol):
    """What is taken for `supervision.Detections`, which is not imported for it."""

    xyxy: Any
    mask: Any
    confidence: Any
    class_id: Any
    tracker_id: Any
    data: Any


def coarse_masks(detections: Detections, size: tuple[int, int]) -> Any:
    """The masks of detections; where there are none, their boxes as masks.

    Args:
        detections: N of an image.
        size: (H, W) of the image.

    Returns:
        N x H x W bool.

    Raises:
        InputError: for boxes that are no numbers.
    """
    if detections.mask is not None:
        dense = getattr(detections.mask, "to_dense", None)
        return detections.mask if dense is None else dense()
    boxes = np.asarray(detections.xyxy, dtype=np.float64).reshape(-1, 4)
    if not np.isfinite(boxes).all():
        raise InputError("detections have boxes that are no finite numbers, and no masks; expected either")
    masks = np.zeros((len(boxes), *size), bool)
    low, high = np.floor(boxes[:, :2]).astype(int).clip(0), np.ceil(boxes[:, 2:]).astype(int).clip(0)
    for mask, (x0, y0), (x1, y1) in zip(masks, low, high, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def refined_detections(detections: Detections, refinement: Refinement) -> Any:
    """Detections with refined masks.

    Args:
        detections: as they came.
        refinement: of their masks, in their order.

    Returns:
        Detections of the same class: refined masks have new boxes, all others those that they came with. `data` has
        two keys more: `samref_flag`, and `samref_score`, which is the model's own estimate where there is no verdict.
    """
    masks: BoolArray = refinement.masks
    boxes = np.array(detections.xyxy, copy=True).reshape(-1, 4)
    changed = np.array([flag == REFINED for flag in refinement.flags], dtype=bool)
    # Both ends inclusive, as supervision's own boxes of masks are.
    boxes[changed] = tight_boxes(masks)[changed]
    scores = refinement.predicted_iou if refinement.scores is None else refinement.scores
    compact = getattr(type(detections.mask), "from_dense", None)
    return replace(
        detections,  # type: ignore[type-var]
        xyxy=boxes,
        mask=masks if compact is None else compact(masks, boxes, image_shape=masks.shape[1:]),
        data={
            **detections.data,
            FLAG: np.array(refinement.flags, dtype=str),
            SCORE: np.asarray(scores, dtype=np.float32),
        },
    )
