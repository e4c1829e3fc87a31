"""Mean IoU of label maps over a data set."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

from samref.errors import InputError
from samref.structures import IntArray

IGNORE = 255

LabelMap = npt.NDArray[np.integer[Any]]


def confusion_matrix(labels: LabelMap | Tensor, truth: LabelMap | Tensor, num_classes: int) -> IntArray:
    """Counts pixels by true and predicted class.

    Args:
        labels: H x W integers, predicted classes; a value that is no class is a miss of the true class.
        truth: H x W integers, true classes; 255 is ignored.
        num_classes: classes are 0 to `num_classes - 1`.

    Returns:
        num_classes x (num_classes + 1) int64; rows are true classes, columns predicted ones, the last of them for
        pixels whose predicted value is no class.

    Raises:
        InputError: if the shapes differ, a map is not of integers, or the truth has a value that is neither a class
            nor 255.

    >>> confusion_matrix(np.array([[0, 1, 1, 1]]), np.array([[0, 0, 1, 255]]), 2)
    array([[1, 1, 0],
           [0, 1, 0]])
    """
    predicted, actual = _as_labels(labels), _as_labels(truth)
    if predicted.shape != actual.shape:
        raise InputError(f"label map of shape {predicted.shape} cannot be compared with truth of shape {actual.shape}")
    counted = actual != IGNORE
    rows, columns = actual[counted].astype(np.int64), predicted[counted].astype(np.int64)
    if rows.size and not (rows.min() >= 0 and rows.max() < num_classes):
        raise InputError(f"true labels run from {rows.min()} to {rows.max()}; expected 0 to {num_classes - 1}, or 255")
    columns = np.where((columns < 0) | (columns >= num_classes), num_classes, columns)
    width = num_classes + 1
    counts: IntArray = np.bincount(rows * width + columns, minlength=num_classes * width)
    return counts.reshape(num_classes, width)


def class_iou(confusion: IntArray) -> npt.NDArray[np.float64]:
    """IoU of each class.

    Args:
        confusion: C x (C + 1) int64 counts over the data set, see `confusion_matrix`.

    Returns:
        C float64 in [0, 1]; NaN for a class that is in neither prediction nor truth.
    """
    hits = np.diagonal(confusion)
    union = confusion.sum(axis=1) + confusion.sum(axis=0)[: len(confusion)] - hits
    return np.where(union > 0, hits / np.maximum(union, 1), np.nan)


class SemanticIoU(Metric):
    """Mean IoU over classes, from one confusion matrix over the data set.

    A class absent from both prediction and truth has no IoU and is left out of the mean, so that a small set is not
    punished for what it does not show.

    >>> metric = SemanticIoU(num_classes=3)
    >>> metric.update(np.array([[0, 1, 1, 1]]), np.array([[0, 0, 1, 255]]))
    >>> metric.compute()
    {'miou': 0.5}
    """

    full_state_update = False
    higher_is_better = True
    confusion: Tensor

    def __init__(self, num_classes: int = 21, **kwargs: Any) -> None:
        """Starts with no pixel seen.

        Args:
            num_classes: background included; PASCAL VOC has 21.
            **kwargs: of `torchmetrics.Metric`.
        """
        super().__init__(**kwargs)
        self.num_classes = num_classes
        shape = (num_classes, num_classes + 1)
        self.add_state("confusion", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self,
        labels: LabelMap | Tensor | None = None,
        truth: LabelMap | Tensor | None = None,
        *,
        counts: IntArray | None = None,
    ) -> None:
        """Adds one image, given as labels or as counts made by `confusion_matrix`.

        Args:
            labels: H x W integers, predicted classes.
            truth: H x W integers, true classes; 255 is ignored.
            counts: in place of the two.

        Raises:
            InputError: as `confusion_matrix`, or if neither form is given.
        """
        if counts is None:
            if labels is None or truth is None:
                raise InputError("SemanticIoU.update got neither labels with truth nor counts: give one of the two")
            counts = confusion_matrix(labels, truth, self.num_classes)
        self.confusion += torch.from_numpy(counts).to(self.confusion.device)

    def compute(self) -> dict[str, float]:
        """Mean IoU of all pixels so far, over all processes.

        Returns:
            A fraction under `miou`; NaN before the first pixel.
        """
        ious = class_iou(self.confusion.cpu().numpy())
        return {"miou": math.nan if np.isnan(ious).all() else float(np.nanmean(ious))}


def _as_labels(labels: LabelMap | Tensor) -> LabelMap:
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"a label map of {array.dtype} values was given; expected integers")
    return array
