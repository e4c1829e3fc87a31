"""Geometry of binary masks: tight boxes, crops, exact distances, overlaps. All pure, all in image px."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from samref.structures import BoolArray, FloatArray, IntArray

# OpenCV's 5 x 5 chamfer distances are within 2 % of Euclidean ones, and wrap around beyond 8191.
CHAMFER_ERROR = 0.02
CHAMFER_LIMIT = 8000.0
# Below so many pixels the exact transform alone is the faster one.
ROUGH_FROM = 1 << 14


@dataclass(frozen=True)
class MaskCrop:
    """A non-empty mask cut down to its tight box plus one pixel on each side that the image allows.

    Every foreground pixel has its nearest background pixel inside such a crop: a background pixel farther out
    has a nearer one in the margin. So work on the crop gives the numbers of work on the full image.

    Attributes:
        mask: h x w bool.
        x: column of the crop's first column in the image.
        y: row of the crop's first row in the image.
        box: (x0, y0, x1, y1) tight box, image px, both ends inclusive.
        area: number of foreground pixels.
        original_size: (H, W) of the image.
    """

    mask: BoolArray
    x: int
    y: int
    box: tuple[int, int, int, int]
    area: int
    original_size: tuple[int, int]

    @property
    def in_box(self) -> BoolArray:
        """The mask inside its tight box, without the margin."""
        x0, y0, x1, y1 = self.box
        return self.mask[y0 - self.y : y1 - self.y + 1, x0 - self.x : x1 - self.x + 1]

    @cached_property
    def innermost(self) -> tuple[int, int]:
        """(x, y) in image px of the foreground pixel farthest from the background, the first in row-major order.

        It is the argmax of `distance_inside`.
        """
        mask = np.ascontiguousarray(self.mask).view(np.uint8)
        if self.area == mask.size:
            mask = np.pad(mask, 1)
            row, column, _ = deepest(mask)
            return self.x + column - 1, self.y + row - 1
        row, column, _ = deepest(mask)
        return self.x + column, self.y + row


def tight_box(mask: BoolArray) -> tuple[int, int, int, int] | None:
    """The tight box (x0, y0, x1, y1) of an H x W mask, both ends inclusive; None if it is empty.

    >>> mask = np.zeros((4, 6), bool); mask[1:3, 2:5] = True
    >>> tight_box(mask)
    (2, 1, 4, 2)
    """
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return None if width == 0 else (x, y, x + width - 1, y + height - 1)


def tight_boxes(masks: BoolArray) -> IntArray:
    """The tight boxes of N x H x W masks: N x 4 int64, both ends inclusive; -1 everywhere for an empty mask."""
    boxes = [tight_box(mask) or (-1, -1, -1, -1) for mask in masks]
    return np.array(boxes, dtype=np.int64).reshape(-1, 4)


def crop_mask(mask: BoolArray) -> MaskCrop | None:
    """Cuts an H x W mask down to its tight box and a margin of one pixel; None if it is empty."""
    box = tight_box(mask)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    left, top = max(x0 - 1, 0), max(y0 - 1, 0)
    crop = mask[top : y1 + 2, left : x1 + 2]
    area = cv2.countNonZero(np.ascontiguousarray(crop).view(np.uint8))
    return MaskCrop(crop, left, top, box, area, (mask.shape[0], mask.shape[1]))


def distance_inside(crop: MaskCrop) -> FloatArray:
    """Exact Euclidean distance of each foreground pixel to the nearest background pixel of the image.

    Pixels outside the image are not background; only for a mask that covers the full image, where no
    background exists, they are taken as such, so that its innermost point is the center.

    Returns:
        h x w float32 over the crop, 0 on the background.
    """
    mask = np.ascontiguousarray(crop.mask).view(np.uint8)
    if crop.area == mask.size:
        padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        return _distance(padded)[1:-1, 1:-1]
    return _distance(mask)


def outermost(crop: MaskCrop) -> tuple[int, int] | None:
    """(x, y) in image px of the background pixel of the tight box farthest from the foreground.

    Of several, the first in row-major order; None if the box is all foreground.
    """
    row, column, distance = deepest((~crop.in_box).view(np.uint8))
    return (crop.box[0] + column, crop.box[1] + row) if distance else None


def deepest(mask: npt.NDArray[np.uint8]) -> tuple[int, int, float]:
    """The first pixel, in row-major order, with the largest exact Euclidean distance to the nearest 0.

    A chamfer transform, several times faster than the exact one, bounds where that pixel can be; the exact one is then
    made in a window that holds all zeros which are nearest to pixels there.

    Args:
        mask: h x w uint8 of 0 and 1.

    Returns:
        Row, column and distance; the distance is 0 where there is no 1.
    """
    height, width = mask.shape
    left, top, right, bottom = 0, 0, width, height
    window = slice(None), slice(None)
    if mask.size > ROUGH_FROM:
        rough = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_5)
        most = float(rough.max())
        if most == 0:
            return 0, 0, 0.0
        if most < CHAMFER_LIMIT:
            near = (rough >= most * (1 - CHAMFER_ERROR) / (1 + CHAMFER_ERROR)).view(np.uint8)
            left, top, columns, rows = cv2.boundingRect(near)
            right, bottom = left + columns, top + rows
            reach = math.ceil(most / (1 - CHAMFER_ERROR)) + 1
            window = slice(max(top - reach, 0), bottom + reach), slice(max(left - reach, 0), right + reach)
    y, x = window[0].start or 0, window[1].start or 0
    exact = _distance(np.ascontiguousarray(mask[window]))[top - y : bottom - y, left - x : right - x]
    # Squared distances are integers; OpenCV's roots of equal ones differ in their last bit.
    most_squared = round(float(exact.max()) ** 2)
    ties = exact >= math.sqrt(max(most_squared - 0.5, 0.0))
    row, column = divmod(int(ties.argmax()), right - left)
    return top + row, left + column, float(exact[row, column])


def _distance(mask: npt.NDArray[np.uint8]) -> FloatArray:
    # "Precise" is the only mask size for which OpenCV's transform is Euclidean and not a chamfer approximation.
    distance: FloatArray = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance


def pair_iou(a: BoolArray, b: BoolArray) -> float:
    """IoU of two masks of one shape; 1 if both are empty.

    >>> pair_iou(np.array([[True, True, False]]), np.array([[False, True, True]]))
    0.3333333333333333
    """
    intersection = np.count_nonzero(a & b)
    union = np.count_nonzero(a | b)
    return float(intersection / union) if union else 1.0
