"""How many masks a refinement makes worse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

WORSE = 0.02  # of IoU: what is lost beyond this counts as harm


class Harm(Metric):
    """Share of masks whose IoU with the truth falls by more than 0.02; the same on any number of processes.

    Args:
        **kwargs: of `torchmetrics.Metric`.

    >>> metric = Harm()
    >>> metric.update(np.array([0.9, 0.8, 0.7]), np.array([0.85, 0.79, 0.9]))
    >>> metric.compute()
    {'harm': 0.3333333333333333}
    """

    full_state_update = False
    higher_is_better = False
    worse: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("worse", torch.tensor(0, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, coarse_iou: npt.NDArray[np.float64], refined_iou: npt.NDArray[np.float64]) -> None:
        """Adds N masks.

        Args:
            coarse_iou: N float64, IoUs of the coarse masks with the truth.
            refined_iou: N float64, IoUs of the refined ones.
        """
        self.worse += int(np.count_nonzero(coarse_iou - refined_iou > WORSE))
        self.count += len(coarse_iou)

    def compute(self) -> dict[str, float]:
        """Share of all masks so far that were made worse, over all processes.

        Returns:
            A fraction under `harm`; NaN before the first mask.
        """
        count = int(self.count)
        return {"harm": int(self.worse) / count if count else math.nan}
