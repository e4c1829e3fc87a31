"""The label-free ranking loss (paper, Eq. 4) and its target."""

from __future__ import annotations

from torch import Tensor


def ranking_loss(iou_predictions: Tensor, candidate_iou: Tensor, margin: float) -> Tensor:
    """`sum_{i != j} max(0, x_i - x_j + m)`, j the candidate with the highest IoU; mean over the samples.

    Args:
        iou_predictions: N x 3, the predicted IoUs x.
        candidate_iou: N x 3, IoU of the candidates with the coarse mask (or with the truth, an upper bound); of
            equals, the first is j.
        margin: the paper's m.

    >>> import torch
    >>> x, iou = torch.tensor([[0.5, 0.49, 0.4]]), torch.tensor([[0.8, 0.1, 0.2]])
    >>> round(ranking_loss(x, iou, 0.02).item(), 6)
    0.01
    """
    best = candidate_iou.argmax(dim=1, keepdim=True)
    hinge = (iou_predictions - iou_predictions.gather(1, best) + margin).clamp_min(0)
    # The term of j itself is the margin, whatever x is: it is left out of the sum by taking it off.
    return (hinge.scatter(1, best, 0.0)).sum(dim=1).mean()


def agreement(iou_predictions: Tensor, candidate_iou: Tensor) -> float:
    """Share of samples whose highest predicted IoU is at the candidate with the highest IoU; NaN for none."""
    if not len(iou_predictions):
        return float("nan")
    return (iou_predictions.argmax(dim=1) == candidate_iou.argmax(dim=1)).double().mean().item()
