"""IoU and boundary IoU between masks and their ground truth, over the data set and per mask."""

from __future__ import annotations

import math
from typing import Any, TypedDict

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

from samref.errors import InputError
from samref.geometry.masks import tight_box
from samref.structures import BoolArray, IntArray

BOUNDARY_RATIO = 0.02  # part of the image diagonal, as boundary IoU defines it

# The sum of per-mask IoUs is kept in integers of this unit: exact in any order of processes, and int64 exists on
# every device, which float64 does not.
_IOU_UNIT = 2.0**-32


class OverlapCounts(TypedDict):
    """What N pairs of masks have in common.

    Keys:
        intersection, union: N int64, pixels of the masks.
        boundary_intersection, boundary_union: N int64, pixels of the boundary regions.
        iou, boundary_iou: N float64, in [0, 1]; 1 where both masks (both boundary regions) are empty.
    """

    intersection: IntArray
    union: IntArray
    boundary_intersection: IntArray
    boundary_union: IntArray
    iou: npt.NDArray[np.float64]
    boundary_iou: npt.NDArray[np.float64]


def intersection_union(masks: BoolArray | Tensor, truth: BoolArray | Tensor) -> tuple[IntArray, IntArray]:
    """Pixels in both and in either of each pair of masks.

    Args:
        masks: N x H x W bool, image px.
        truth: N x H x W bool, image px.

    Returns:
        Two arrays of N int64: intersections and unions.

    Raises:
        InputError: if the two are not bool arrays of one N x H x W shape.

    >>> intersection_union(np.array([[[True, True, False]]]), np.array([[[False, True, True]]]))
    (array([1]), array([3]))
    """
    masks, truth = _as_pairs(masks, truth)
    pairs = [_common_crop(a, b) for a, b in zip(masks, truth, strict=True)]
    counts = np.array([_count(a, b) for a, b in pairs], dtype=np.int64).reshape(-1, 2)
    return counts[:, 0], counts[:, 1]


def boundary_width(original_size: tuple[int, int]) -> int:
    """Depth d of the boundary region: 2 % of the image's diagonal, at least 1.

    Args:
        original_size: (H, W) of the image.

    Returns:
        Image px.

    >>> boundary_width((480, 854))
    20
    """
    return max(1, round(BOUNDARY_RATIO * math.hypot(*original_size)))


def boundary_region(mask: BoolArray) -> BoolArray:
    """The pixels of a mask within d 3x3 erosions of its outside; beyond the image counts as outside.

    Args:
        mask: H x W bool, image px.

    Returns:
        H x W bool.

    >>> boundary_region(np.ones((3, 4), bool)).astype(int)
    array([[1, 1, 1, 1],
           [1, 0, 0, 1],
           [1, 1, 1, 1]])
    """
    region = np.zeros_like(mask)
    box = tight_box(mask)
    if box is not None:
        x0, y0, x1, y1 = box
        crop = np.ascontiguousarray(mask[y0 : y1 + 1, x0 : x1 + 1])
        region[y0 : y1 + 1, x0 : x1 + 1] = _rim(crop, boundary_width((mask.shape[0], mask.shape[1])))
    return region


def boundary_iou(masks: BoolArray | Tensor, truth: BoolArray | Tensor) -> npt.NDArray[np.float64]:
    """IoU of the boundary regions of each pair of masks.

    Args:
        masks: N x H x W bool, image px.
        truth: N x H x W bool, image px.

    Returns:
        N float64 in [0, 1]; 1 where both are empty.

    Raises:
        InputError: if the two are not bool arrays of one N x H x W shape.
    """
    return overlap_per_mask(masks, truth)["boundary_iou"]


def overlap_per_mask(masks: BoolArray | Tensor, truth: BoolArray | Tensor) -> OverlapCounts:
    """Everything `Overlap` and a table of samples need of N pairs of masks, computed once.

    Args:
        masks: N x H x W bool, image px.
        truth: N x H x W bool, image px.

    Returns:
        Pixel counts and ratios per pair, see `OverlapCounts`.

    Raises:
        InputError: if the two are not bool arrays of one N x H x W shape.
    """
    masks, truth = _as_pairs(masks, truth)
    width = boundary_width((masks.shape[1], masks.shape[2]))
    counts = np.zeros((len(masks), 4), dtype=np.int64)
    for row, mask, target in zip(counts, masks, truth, strict=True):
        a, b = _common_crop(mask, target)
        row[:2] = _count(a, b)
        row[2:] = _count(_rim(a, width), _rim(b, width))
    intersection, union, boundary_intersection, boundary_union = counts.T
    return OverlapCounts(
        intersection=intersection,
        union=union,
        boundary_intersection=boundary_intersection,
        boundary_union=boundary_union,
        iou=_ratio(intersection, union),
        boundary_iou=_ratio(boundary_intersection, boundary_union),
    )


class Overlap(Metric):
    """IoU, mean IoU and boundary IoU of a data set; the same on any number of processes.

    `iou` and `boundary_iou` are sums of intersections over sums of unions of the data set, `iou_mean` the mean of the
    masks' own IoUs (a pair of empty masks counts 1).

    Args:
        **kwargs: of `torchmetrics.Metric`.

    >>> metric = Overlap()
    >>> metric.update(np.array([[[True, True, False]]]), np.array([[[False, True, True]]]))
    >>> metric.compute()["iou"]
    0.3333333333333333
    """

    full_state_update = False
    higher_is_better = True
    intersection: Tensor
    union: Tensor
    boundary_intersection: Tensor
    boundary_union: Tensor
    iou_units: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("intersection", "union", "boundary_intersection", "boundary_union", "iou_units", "count"):
            self.add_state(name, torch.tensor(0, dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self,
        masks: BoolArray | Tensor | None = None,
        truth: BoolArray | Tensor | None = None,
        *,
        counts: OverlapCounts | None = None,
    ) -> None:
        """Adds N pairs of masks, given as masks or as counts made by `overlap_per_mask`.

        Args:
            masks: N x H x W bool, image px.
            truth: N x H x W bool, image px.
            counts: in place of masks and truth, where the per-mask values are wanted elsewhere too.

        Raises:
            InputError: if the two are not bool arrays of one N x H x W shape, or neither form is given.
        """
        if counts is None:
            if masks is None or truth is None:
                raise InputError("Overlap.update got neither masks with truth nor counts: give one of the two")
            counts = overlap_per_mask(masks, truth)
        self.intersection += int(counts["intersection"].sum())
        self.union += int(counts["union"].sum())
        self.boundary_intersection += int(counts["boundary_intersection"].sum())
        self.boundary_union += int(counts["boundary_union"].sum())
        self.iou_units += int(np.rint(counts["iou"] / _IOU_UNIT).sum())
        self.count += len(counts["iou"])

    def compute(self) -> dict[str, float]:
        """Overlap of all masks so far, over all processes.

        Returns:
            Fractions under `iou`, `iou_mean` and `boundary_iou`; NaN before the first mask.
        """
        count = int(self.count)
        if count == 0:
            return {"iou": math.nan, "iou_mean": math.nan, "boundary_iou": math.nan}
        return {
            "iou": _fraction(self.intersection, self.union),
            "iou_mean": int(self.iou_units) * _IOU_UNIT / count,
            "boundary_iou": _fraction(self.boundary_intersection, self.boundary_union),
        }


def _as_pairs(masks: BoolArray | Tensor, truth: BoolArray | Tensor) -> tuple[BoolArray, BoolArray]:
    a = masks.detach().cpu().numpy() if isinstance(masks, Tensor) else masks
    b = truth.detach().cpu().numpy() if isinstance(truth, Tensor) else truth
    if a.shape != b.shape or a.ndim != 3 or a.dtype != np.bool_ or b.dtype != np.bool_:
        raise InputError(
            f"masks of shape {a.shape} ({a.dtype}) cannot be compared with truth of shape {b.shape} ({b.dtype}): "
            "both must be N x H x W bool of one shape"
        )
    return a, b


def _common_crop(mask: BoolArray, truth: BoolArray) -> tuple[BoolArray, BoolArray]:
    # Outside the box around both, inside the image or beyond it, lies background only: the counts on the crop,
    # with background around it, are those on the image.
    box = tight_box(mask | truth)
    if box is None:
        return np.zeros((1, 1), bool), np.zeros((1, 1), bool)
    x0, y0, x1, y1 = box
    window = (slice(y0, y1 + 1), slice(x0, x1 + 1))
    return np.ascontiguousarray(mask[window]), np.ascontiguousarray(truth[window])


def _rim(crop: BoolArray, width: int) -> BoolArray:
    # One erosion by a (2d + 1) square is d erosions by a 3x3 square.
    square = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    inner = cv2.erode(crop.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    rim: BoolArray = crop & (inner == 0)
    return rim


def _count(a: BoolArray, b: BoolArray) -> tuple[int, int]:
    return int(np.count_nonzero(a & b)), int(np.count_nonzero(a | b))


def _ratio(part: IntArray, whole: IntArray) -> npt.NDArray[np.float64]:
    return np.where(whole == 0, 1.0, part / np.maximum(whole, 1))


def _fraction(part: Tensor, whole: Tensor) -> float:
    return int(part) / int(whole) if int(whole) else 1.0
