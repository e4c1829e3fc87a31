"""Kinds of coarse masks, each made from a ground truth mask: what networks, annotators and simulations leave."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from samref.datasets.defects import simulate_defects
from samref.geometry.masks import tight_box
from samref.structures import BoolArray, FloatArray

Image = npt.NDArray[np.uint8]
Kind = Callable[..., BoolArray]


def mask_head(image: Image, truth: BoolArray, seed: int, *, size: int = 28) -> BoolArray:
    """What a mask head of Mask R-CNN's resolution can hold: the truth in its box at `size` x `size`, pasted back.

    Args:
        image: H x W x 3 uint8 RGB, not looked at.
        truth: H x W bool, not empty.
        seed: of no effect.
        size: cells along either side of the box.
    """
    x0, y0, x1, y1 = _box(truth)
    window = slice(y0, y1 + 1), slice(x0, x1 + 1)
    mask = np.zeros_like(truth)
    mask[window] = _above_half(_through_grid(truth[window], (size, size)))
    return mask


def score_map(image: Image, truth: BoolArray, seed: int, *, stride: int = 16) -> BoolArray:
    """What a network with an output stride leaves: one score for each `stride` x `stride` px, bilinear in between.

    Args:
        image: H x W x 3 uint8 RGB, not looked at.
        truth: H x W bool, not empty.
        seed: of no effect.
        stride: px a cell.
    """
    height, width = truth.shape
    return _above_half(_through_grid(truth, (-(-height // stride), -(-width // stride))))


def polygon(image: Image, truth: BoolArray, seed: int, *, tolerance: float = 0.012) -> BoolArray:
    """Hand-drawn polygons with few corners: outer outlines simplified by Douglas and Peucker, holes filled.

    Args:
        image: H x W x 3 uint8 RGB, not looked at.
        truth: H x W bool, not empty.
        seed: of no effect.
        tolerance: farthest that the outline may be from the polygon, as a share of the outline's length.
    """
    outlines, _ = cv2.findContours(truth.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    mask = np.zeros(truth.shape, dtype=np.uint8)
    for outline in outlines:
        corners = cv2.approxPolyDP(outline, tolerance * cv2.arcLength(outline, True), True)
        cv2.fillPoly(mask, [corners], 1)
    return mask > 0


def dilated(image: Image, truth: BoolArray, seed: int, *, pixels: float = 8) -> BoolArray:
    """The truth and all within `pixels` px of it.

    Args:
        image: H x W x 3 uint8 RGB, not looked at.
        truth: H x W bool, not empty.
        seed: of no effect.
        pixels: of the dilation.
    """
    grown: BoolArray = _distance(~truth) <= pixels
    return grown


def eroded(image: Image, truth: BoolArray, seed: int, *, pixels: float = 6) -> BoolArray:
    """The truth without what lies within `pixels` px of the background; the border of the image is none.

    An object that is nowhere thick enough loses what lies within half its largest depth, so that something is left.

    Args:
        image: H x W x 3 uint8 RGB, not looked at.
        truth: H x W bool, not empty.
        seed: of no effect.
        pixels: of the erosion.
    """
    depth = _distance(truth)
    deepest = float(depth.max())
    left: BoolArray = depth > (pixels if deepest > pixels else deepest / 2)
    return left


def box(image: Image, truth: BoolArray, seed: int, *, jitter: float = 0) -> BoolArray:
    """The object's tight box, filled.

    Args:
        image: H x W x 3 uint8 RGB, not looked at.
        truth: H x W bool, not empty.
        seed: of the jitter.
        jitter: standard deviation of each side's displacement, as a share of the box's size along that axis.
    """
    x0, y0, x1, y1 = _jittered(truth, seed, jitter)
    mask = np.zeros_like(truth)
    mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


def ellipse(image: Image, truth: BoolArray, seed: int, *, jitter: float = 0) -> BoolArray:
    """The ellipse that fills the object's tight box, as it is drawn by dragging a box.

    Args:
        image: H x W x 3 uint8 RGB, not looked at.
        truth: H x W bool, not empty.
        seed: of the jitter.
        jitter: as in `box`.
    """
    x0, y0, x1, y1 = _jittered(truth, seed, jitter)
    y, x = np.ogrid[: truth.shape[0], : truth.shape[1]]
    across = (x - (x0 + x1) / 2) / ((x1 - x0 + 1) / 2)
    down = (y - (y0 + y1) / 2) / ((y1 - y0 + 1) / 2)
    mask: BoolArray = across**2 + down**2 <= 1
    return mask


def exact(image: Image, truth: BoolArray, seed: int) -> BoolArray:
    """The truth itself: what refinement can only harm."""
    return truth.copy()


KINDS: dict[str, Kind] = {
    "superpixel": simulate_defects,
    **{kind.__name__: kind for kind in (mask_head, polygon, score_map, dilated, eroded, box, ellipse, exact)},
}


def _box(truth: BoolArray) -> tuple[int, int, int, int]:
    found = tight_box(truth)
    assert found is not None
    x0, y0, x1, y1 = found
    return x0, y0, x1, y1


def _distance(mask: BoolArray) -> FloatArray:
    """Distance of each pixel of a mask to the nearest one outside it, px; infinite where there is none."""
    if mask.all():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def _through_grid(mask: BoolArray, size: tuple[int, int]) -> FloatArray:
    """A mask averaged over the cells of an (h, w) grid and resampled bilinearly to its own size, in [0, 1]."""
    height, width = mask.shape
    cells = cv2.resize(mask.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _above_half(score: FloatArray) -> BoolArray:
    """Where a score reaches 0.5; objects so small that none does have the pixels of half the largest score."""
    mask: BoolArray = score >= min(0.5, float(score.max()) / 2)
    return mask


def _jittered(truth: BoolArray, seed: int, jitter: float) -> tuple[int, int, int, int]:
    """The tight box with its sides displaced, inside the image and at least 1 px wide and high."""
    corners = np.array(_box(truth), dtype=np.float64)
    width, height = corners[2] - corners[0] + 1, corners[3] - corners[1] + 1
    moved = corners + jitter * np.random.default_rng(seed).standard_normal(4) * (width, height, width, height)
    limits = truth.shape[1] - 1, truth.shape[0] - 1
    (x0, x1), (y0, y1) = (
        sorted(int(np.clip(np.rint(moved[k]), 0, limits[axis])) for k in (axis, axis + 2)) for axis in (0, 1)
    )
    return x0, y0, x1, y1
