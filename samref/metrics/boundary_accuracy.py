"""Mean boundary accuracy (mBA), the measure of high-resolution masks that CascadePSP introduced."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

from samref.errors import InputError
from samref.geometry.masks import tight_box
from samref.structures import BoolArray

RADII = 5  # widths of the band that one value is the mean of

# Accuracies are summed in integers of this unit: exact in any order, and int64 exists on every device.
_UNIT = 2.0**-32


def boundary_radii(original_size: tuple[int, int]) -> tuple[int, ...]:
    """Radii of the five bands of an image: from 1 in equal steps toward (W + H) / 300.

    Args:
        original_size: (H, W) of the image.

    Returns:
        Five radii, image px.

    >>> boundary_radii((2000, 3000)), boundary_radii((100, 100))
    ((1, 4, 7, 10, 13), (1, 1, 1, 1, 1))
    """
    largest = sum(original_size) / 300
    return tuple(1 + int((largest - 1) / RADII * step) for step in range(RADII))


def boundary_accuracy(masks: BoolArray | Tensor, truth: BoolArray | Tensor) -> npt.NDArray[np.float64]:
    """Share of right pixels near the boundary of the truth, mean over five bands.

    A band is the morphological gradient of the truth with an elliptical kernel of one of the radii; the border of the
    image is no boundary.

    Args:
        masks: N x H x W bool, image px.
        truth: N x H x W bool, image px.

    Returns:
        N float64 in [0, 1]; NaN where the truth has no boundary (it is empty or the full image).

    Raises:
        InputError: if the two are not bool arrays of one N x H x W shape.
    """
    a = masks.detach().cpu().numpy() if isinstance(masks, Tensor) else masks
    b = truth.detach().cpu().numpy() if isinstance(truth, Tensor) else truth
    if a.shape != b.shape or a.ndim != 3 or a.dtype != np.bool_ or b.dtype != np.bool_:
        raise InputError(
            f"masks of shape {a.shape} ({a.dtype}) cannot be compared with truth of shape {b.shape} ({b.dtype}): "
            "both must be N x H x W bool of one shape"
        )
    return np.array([_mean_accuracy(mask, target) for mask, target in zip(a, b, strict=True)], dtype=np.float64)


class BoundaryAccuracy(Metric):
    """mBA of a data set: the mean of its masks' boundary accuracies.

    Masks whose truth has no boundary are left out.

    Args:
        **kwargs: of `torchmetrics.Metric`.
    """

    full_state_update = False
    higher_is_better = True
    units: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("units", torch.tensor(0, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0, dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self,
        masks: BoolArray | Tensor | None = None,
        truth: BoolArray | Tensor | None = None,
        *,
        accuracies: npt.NDArray[np.float64] | None = None,
    ) -> None:
        """Adds N pairs of masks, given as masks or as accuracies made by `boundary_accuracy`.

        Args:
            masks: N x H x W bool, image px.
            truth: N x H x W bool, image px.
            accuracies: N float64, NaN where the truth has no boundary, in place of the two.

        Raises:
            InputError: as `boundary_accuracy`, or if neither form is given.
        """
        if accuracies is None:
            if masks is None or truth is None:
                raise InputError(
                    "BoundaryAccuracy.update got neither masks with truth nor accuracies: give one of the two"
                )
            accuracies = boundary_accuracy(masks, truth)
        known = accuracies[~np.isnan(accuracies)]
        self.units += int(np.rint(known / _UNIT).sum())
        self.count += len(known)

    def compute(self) -> dict[str, float]:
        """Mean boundary accuracy of all masks so far, over all processes.

        Returns:
            A fraction under `mba`; NaN before the first mask whose truth has a boundary.
        """
        count = int(self.count)
        return {"mba": int(self.units) * _UNIT / count if count else math.nan}


def _mean_accuracy(mask: BoolArray, truth: BoolArray) -> float:
    radii = boundary_radii((truth.shape[0], truth.shape[1]))
    box = tight_box(truth)
    if box is None or truth.all():
        return math.nan
    # Nothing farther from the truth than the largest radius is in a band.
    x0, y0, x1, y1 = box
    reach = max(radii) + 1
    window = (slice(max(y0 - reach, 0), y1 + reach + 1), slice(max(x0 - reach, 0), x1 + reach + 1))
    target, wrong = np.ascontiguousarray(truth[window]), mask[window] != truth[window]
    accuracies = {radius: _accuracy(target, wrong, radius) for radius in set(radii)}
    return sum(accuracies[radius] for radius in radii) / RADII


def _accuracy(target: BoolArray, wrong: BoolArray, radius: int) -> float:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    band = cv2.morphologyEx(target.view(np.uint8), cv2.MORPH_GRADIENT, kernel) > 0
    return 1.0 - np.count_nonzero(wrong & band) / np.count_nonzero(band)
