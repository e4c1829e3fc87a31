"""Masks of another size than their image's: scaled to it for refining, and back for writing."""

from __future__ import annotations

import cv2
import numpy as np

from samref.structures import BoolArray

HALF = 0.5


def same_shape(size: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two sizes (H, W) are one picture at two scales: their sides differ by one factor, but for rounding.

    >>> same_shape((240, 427), (480, 854)), same_shape((240, 427), (480, 640))
    (True, False)
    """
    (h, w), (height, width) = size, other
    return abs(h * width - w * height) <= max(height, width, h, w)


def enlarged(masks: BoolArray, size: tuple[int, int]) -> BoolArray:
    """N x h x w masks at another size (H, W), by nearest pixels."""
    resized = [cv2.resize(mask.view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT) for mask in masks]
    return np.stack(resized) > 0 if resized else np.zeros((0, *size), bool)


def reduced(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    """An H x W mask at another size (h, w): a pixel belongs to it if half of its area does; if larger, by nearest."""
    if mask.shape == size:
        return mask
    if size[0] > mask.shape[0]:
        larger: BoolArray = enlarged(mask[None], size)[0]
        return larger
    return np.asarray(cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) >= HALF)
