"""Top-1 accuracy: how often the predicted IoU picks the best of the three candidates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

from samref.errors import InputError
from samref.structures import BoolArray


def selection_correct(iou_predictions: npt.ArrayLike | Tensor, candidate_iou: npt.ArrayLike | Tensor) -> BoolArray:
    """Whether the candidate with the highest predicted IoU is the one with the highest IoU.

    Ties go to the candidate of lowest index, on both sides.

    Args:
        iou_predictions: N x 3 float, the IoUs the decoder predicts.
        candidate_iou: N x 3 float, the candidates' IoUs with the ground truth.

    Returns:
        N bool.

    Raises:
        InputError: if the shapes differ or are not N x K.

    >>> selection_correct([[0.9, 0.8, 0.7], [0.1, 0.2, 0.3]], [[0.5, 0.6, 0.4], [0.1, 0.2, 0.9]])
    array([False,  True])
    """
    predicted, actual = _as_array(iou_predictions), _as_array(candidate_iou)
    if predicted.ndim != 2 or predicted.shape != actual.shape:
        raise InputError(
            f"predicted IoUs of shape {predicted.shape} cannot be compared with candidate IoUs of shape "
            f"{actual.shape}: both must be N x K"
        )
    correct: BoolArray = predicted.argmax(axis=1) == actual.argmax(axis=1)
    return correct


class SelectionAccuracy(Metric):
    """Share of masks whose best candidate is the one chosen by predicted IoU (the paper's top-1 accuracy).

    `compute` returns a fraction under `top1_acc`, NaN before the first mask.

    >>> metric = SelectionAccuracy()
    >>> metric.update([[0.9, 0.8, 0.7], [0.1, 0.2, 0.3]], [[0.5, 0.6, 0.4], [0.1, 0.2, 0.9]])
    >>> metric.compute()
    {'top1_acc': 0.5}
    """

    full_state_update = False
    higher_is_better = True
    correct: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("correct", torch.tensor(0, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, iou_predictions: npt.ArrayLike | Tensor, candidate_iou: npt.ArrayLike | Tensor) -> None:
        """Adds N masks: predicted and true IoUs of their candidates, both N x 3."""
        hits = selection_correct(iou_predictions, candidate_iou)
        self.correct += int(np.count_nonzero(hits))
        self.count += len(hits)

    def compute(self) -> dict[str, float]:
        """`top1_acc` of all masks so far, as a fraction."""
        count = int(self.count)
        return {"top1_acc": int(self.correct) / count if count else math.nan}


def _as_array(values: npt.ArrayLike | Tensor) -> npt.NDArray[Any]:
    return values.detach().cpu().double().numpy() if isinstance(values, Tensor) else np.asarray(values)
