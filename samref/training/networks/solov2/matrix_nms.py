"""Matrix NMS: scores fall by how much a better mask of the same class covers them (Wang et al., 2020, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

GAUSSIAN = "gaussian"


def matrix_nms(masks: Tensor, labels: Tensor, scores: Tensor, kernel: str = GAUSSIAN, sigma: float = 2.0) -> Tensor:
    """Decayed scores of N masks, all at once.

    A mask j decays by the least factor f(IoU of i and j) / f(largest IoU of i with a better mask) over all better masks
    i of its class; f is exp(-sigma IoU^2), or 1 - IoU.

    Args:
        masks: N x h x w bool, best score first.
        labels: N int64.
        scores: N float32, falling.
        kernel: `gaussian` or `linear`.
        sigma: of the Gaussian.

    Returns:
        N float32 scores, in the same order.
    """
    if not len(masks):
        return scores
    flat = masks.flatten(1).float()
    shared = flat @ flat.T
    areas = flat.sum(dim=1)
    iou = shared / (areas[:, None] + areas[None] - shared).clamp(min=1)
    better = (iou * (labels[:, None] == labels[None])).triu(diagonal=1)
    # Of each mask i, the largest overlap with one that is better: how likely it is suppressed itself.
    covered = better.amax(dim=0)[:, None]
    if kernel == GAUSSIAN:
        factors = torch.exp(-sigma * (better**2 - covered**2))
    else:
        factors = (1 - better) / (1 - covered).clamp(min=1e-6)
    # Pairs that are none leave a score as it is.
    pairs = torch.ones_like(factors, dtype=torch.bool).triu(diagonal=1) & (labels[:, None] == labels[None])
    factors = torch.where(pairs, factors, torch.ones_like(factors))
    decayed: Tensor = scores * factors.amin(dim=0)
    return decayed
