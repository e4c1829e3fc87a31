"""Top-1 accuracy: how often a selection rule picks the best of the three candidates."""

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


def selection_correct(chosen: npt.ArrayLike | Tensor, candidate_iou: npt.ArrayLike | Tensor) -> BoolArray:
    """Whether the candidate that a rule chose is the one with the highest IoU (section 3.3, Fig. 5c).

    Of equal IoUs the first is the highest.

    Args:
        chosen: N integers, 0 to K - 1: what the rule chose.
        candidate_iou: N x K float, the candidates' IoUs with the ground truth.

    Returns:
        N bool.

    Raises:
        InputError: if the shapes do not fit.

    >>> selection_correct([0, 2], [[0.5, 0.6, 0.4], [0.1, 0.2, 0.9]])
    array([False,  True])
    """
    index, actual = _as_array(chosen), _as_array(candidate_iou)
    if actual.ndim != 2 or index.shape != actual.shape[:1]:
        raise InputError(
            f"choices of shape {index.shape} cannot be compared with candidate IoUs of shape {actual.shape}: expected "
            "N and N x K"
        )
    correct: BoolArray = index == actual.argmax(axis=1)
    return correct


class SelectionAccuracy(Metric):
    """Share of masks whose best candidate is the one that was chosen (the paper's top-1 accuracy).

    Args:
        **kwargs: of `torchmetrics.Metric`.

    >>> metric = SelectionAccuracy()
    >>> metric.update([0, 2], [[0.5, 0.6, 0.4], [0.1, 0.2, 0.9]])
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

    def update(self, chosen: npt.ArrayLike | Tensor, candidate_iou: npt.ArrayLike | Tensor) -> None:
        """Adds N masks.

        Args:
            chosen: N integers, indices of the chosen candidates.
            candidate_iou: N x K float, the candidates' IoUs with the ground truth.

        Raises:
            InputError: if the shapes do not fit each other.
        """
        hits = selection_correct(chosen, candidate_iou)
        self.correct += int(np.count_nonzero(hits))
        self.count += len(hits)

    def compute(self) -> dict[str, float]:
        """Top-1 accuracy of all masks so far, over all processes.

        Returns:
            A fraction under `top1_acc`; NaN before the first mask.
        """
        count = int(self.count)
        return {"top1_acc": int(self.correct) / count if count else math.nan}


def _as_array(values: npt.ArrayLike | Tensor) -> npt.NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
