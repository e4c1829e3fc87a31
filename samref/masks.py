"""Geometry of binary masks: tight boxes, crops, exact distances, overlaps. All pure, all in image px."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from samref.structures import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class MaskCrop:
    """A non-empty mask cut down to its tight box plus one pixel on each side that the image allows.

    Every foreground pixel has its nearest background pixel inside such a crop: a background pixel farther out
    has a nearer one in the margin. So work on the crop gives the numbers of work on the whole image.

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

    Pixels outside the image are not background; only for a mask that covers the whole image, where no
    background exists, they are taken as such, so that its innermost point is the centre.

    Returns:
        h x w float32 over the crop, 0 on the background.
    """
    mask = np.ascontiguousarray(crop.mask).view(np.uint8)
    if crop.area == mask.size:
        padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        return _distance(padded)[1:-1, 1:-1]
    return _distance(mask)


def distance_outside(crop: MaskCrop) -> FloatArray:
    """Exact Euclidean distance of each background pixel inside the tight box to the nearest foreground pixel.

    Returns:
        float32 with the tight box's shape, 0 on the foreground.
    """
    return _distance((~crop.in_box).view(np.uint8))


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
    return intersection / union if union else 1.0
