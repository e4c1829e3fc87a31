"""Fusing candidates of several prompt combinations into one mask: each votes with its logits, weighted by consensus.

SAM's predicted IoU alone chooses badly among candidates of different prompts. Candidates that the others agree with
are better, and the mean of their squashed logits is better than any one of them; the coarse mask may keep a share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samref.structures import FloatArray

# How much a candidate's own predicted IoU counts beside its mean IoU with the others.
PREDICTED = 0.5
# Sharpness of the softmax over scores.
SHARPNESS = 16.0
# Logits at which a vote saturates: beyond a few of these a logit means "surely", and more must not outvote others.
SATURATION = 4.0


@dataclass(frozen=True)
class Vote:
    """The fused candidates of one mask.

    Attributes:
        logits: h x w float32 in [-1, 1], logit grid; positive = foreground.
        scores: K float32, of the candidates; -inf for empty ones.
        weights: K float32, of the candidates; they sum to 1.
        agreement: weighted mean IoU of the candidates with each other, in [0, 1].
        predicted_iou: weighted mean of the predicted IoUs.
    """

    logits: FloatArray
    scores: FloatArray
    weights: FloatArray
    agreement: float
    predicted_iou: float


def fuse(logits: FloatArray, iou_predictions: FloatArray, size: tuple[int, int]) -> Vote:
    """Fuses the candidates of one mask.

    Args:
        logits: K x h x w float32, logit grid.
        iou_predictions: K float32.
        size: (h', w') of the part of the grid that lies under the image; the rest takes no part in agreement.

    Returns:
        The vote. Where every candidate is empty, all weights are equal.
    """
    overlap = pairwise_iou(logits[:, : size[0], : size[1]] > 0)
    count = len(logits)
    others = (overlap.sum(axis=1) - np.diag(overlap)) / max(count - 1, 1)
    scores = np.where(np.diag(overlap) > 0, others + PREDICTED * iou_predictions, -np.inf).astype(np.float32)
    best = scores.max()
    weights = np.ones(count, np.float32) if np.isinf(best) else np.exp(SHARPNESS * (scores - best))
    weights = (weights / weights.sum()).astype(np.float32)
    fused = np.tensordot(weights, np.tanh(logits / SATURATION), axes=1).astype(np.float32)
    return Vote(fused, scores, weights, float(weights @ others), float(weights @ iou_predictions))


def pairwise_iou(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """IoU of every two of K masks (K x h x w bool): K x K; 0 on the diagonal of an empty mask."""
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    intersection = (flat @ flat.T).astype(np.float64)
    area = np.diag(intersection)
    union = area[:, None] + area[None] - intersection
    overlap: npt.NDArray[np.float64] = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    return overlap
