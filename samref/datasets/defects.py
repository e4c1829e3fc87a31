"""Simulated super-pixel defects: coarse masks for any data set with ground truth, made as DAVIS-585's were."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
from skimage.color import rgb2lab
from skimage.segmentation import slic

from samref.errors import InputError
from samref.geometry.masks import pair_iou, tight_box
from samref.structures import BoolArray

IOU_RANGE = (0.75, 0.85)
RESTARTS = 30
EDITS = 10
ZONE_PROBABILITIES = (0.65, 0.25, 0.10)  # boundary, inner, outer
SUPERPIXELS = (50, 100, 200, 300, 500, 700)  # of the full image
COMPACTNESS = 10.0
BOUNDARY_STEPS = 3
BOUNDARY_KERNEL = np.ones((5, 5), dtype=np.uint8)

MARGIN = 0.5  # of the object's longer side: what "the neighborhood of the ground truth" is taken to be
MIN_MARGIN = 16
MAX_SLIC_PIXELS = 160_000  # keeps six SLICs below a second; edges of the defects step by 1.6 px in a 480 x 854 crop
LARGEST_SUPERPIXEL = 0.25  # of the object's area
FEWEST = 0.4  # of the super-pixels requested; with less, noise has torn them and SLIC has joined the shreds
SMOOTHING = (0, 1, 2, 4)  # px, tried in turn until there are enough


def stable_seed(*parts: object) -> int:
    """A seed that depends on the parts' text alone, so that it is the same in every process and on every machine.

    >>> stable_seed("dog/00010", "object1", 0) == stable_seed("dog/00010", "object1", 0)
    True
    >>> stable_seed("dog/00010", "object1", 0) == stable_seed("dog/00010", "object11", "", 0)
    False
    """
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big")


def simulate_defects(image: npt.NDArray[np.uint8], truth: BoolArray, seed: int) -> BoolArray:
    """Spoils a ground truth mask by entire super-pixels until its IoU with the truth is in [0.75, 0.85].

    Up to 10 times a super-pixel is picked under a random pixel of the object's boundary, inner or outer zone, and
    added if that pixel is background and removed if it is not; below the range, or if 10 did not suffice, it
    starts again, at most 30 times. If no restart meets the range (objects of a few pixels), the mask nearest to it
    is the answer, neither empty nor equal to the truth where there is such a mask; an empty truth stays empty.

    For speed the super-pixels are those of a crop, the object's box and half its longer side around it, with as
    many super-pixels as make them as large as the full image's would be; but none is larger than a quarter of
    the object, else no small object could meet the range. SLIC sees crops of more than 160 000 px reduced to that,
    and noise smoothed that would leave it few super-pixels.

    Args:
        image: H x W x 3 uint8 RGB.
        truth: H x W bool.
        seed: any non-negative integer; equal input and seed give an equal mask.

    Returns:
        H x W bool, a new array.

    Raises:
        InputError: if the sizes differ.
    """
    if image.shape[:2] != truth.shape:
        raise InputError(f"the truth has shape {truth.shape}, but its image {image.shape[:2]}; expected equal sizes")
    coarse = truth.copy()
    window = _neighborhood(truth)
    if window is not None:
        superpixels = Superpixels(image[window], truth.size, int(np.count_nonzero(truth)))
        coarse[window] = _spoil(truth[window], superpixels, np.random.default_rng(seed))
    return coarse


def _spoil(truth: BoolArray, superpixels: Superpixels, rng: np.random.Generator) -> BoolArray:
    zones, probabilities = split_zones(truth)
    nearest, best = np.inf, truth
    for _ in range(RESTARTS):
        mask, iou = truth.copy(), 1.0
        for _ in range(EDITS):
            zone = zones[rng.choice(len(zones), p=probabilities)]
            row, column = divmod(int(rng.choice(zone)), truth.shape[1])
            mask[superpixels.at(row, column, int(rng.choice(SUPERPIXELS)))] = not mask[row, column]
            iou = pair_iou(mask, truth)
            if iou <= IOU_RANGE[1]:
                break
        distance = _distance_to_range(iou)
        if distance == 0:
            return mask
        if distance < nearest and 0 < iou < 1:
            nearest, best = distance, mask
    return best


def _distance_to_range(iou: float) -> float:
    low, high = IOU_RANGE
    return max(low - iou, iou - high, 0.0)


def split_zones(truth: BoolArray) -> tuple[list[npt.NDArray[np.intp]], npt.NDArray[np.float64]]:
    """Flat pixel indices of the zones that have pixels (boundary, inner, outer), and their probabilities."""
    mask = truth.astype(np.uint8)
    inner = cv2.erode(mask, BOUNDARY_KERNEL, iterations=BOUNDARY_STEPS) > 0
    outer = cv2.dilate(mask, BOUNDARY_KERNEL, iterations=BOUNDARY_STEPS) == 0
    zones = [np.flatnonzero(zone) for zone in (~inner & ~outer, inner, outer)]
    weights = np.array([p if len(zone) else 0.0 for p, zone in zip(ZONE_PROBABILITIES, zones, strict=True)])
    return [zone for zone in zones if len(zone)], weights[weights > 0] / weights.sum()


def _neighborhood(truth: BoolArray) -> tuple[slice, slice] | None:
    box = tight_box(truth)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    margin = max(MIN_MARGIN, round(MARGIN * max(x1 - x0 + 1, y1 - y0 + 1)))
    return slice(max(y0 - margin, 0), y1 + 1 + margin), slice(max(x0 - margin, 0), x1 + 1 + margin)


@dataclass
class Superpixels:
    """The super-pixels of a crop, made at first use: most masks need two or three of the six sizes.

    Attributes:
        crop: h x w x 3 uint8 RGB.
        image_area: pixels of the full image.
        object_area: pixels of the object.
    """

    crop: npt.NDArray[np.uint8]
    image_area: int
    object_area: int

    def at(self, row: int, column: int, count: int) -> BoolArray:
        """The super-pixel under a pixel, h x w bool, when the full image has `count` of them."""
        if count not in self._labels:
            self._labels[count] = self._divide(count)
        labels = self._labels[count]
        member: BoolArray = labels == labels[row, column]
        return member

    @cached_property
    def _labels(self) -> dict[int, npt.NDArray[np.intp]]:
        return {}

    @cached_property
    def _small(self) -> npt.NDArray[np.uint8]:
        height, width = self.crop.shape[:2]
        scale = math.sqrt(MAX_SLIC_PIXELS / (height * width))
        if scale >= 1:
            return self.crop
        size = max(1, int(width * scale)), max(1, int(height * scale))
        return np.asarray(cv2.resize(self.crop, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    @cached_property
    def _lab(self) -> npt.NDArray[np.float64]:
        return np.asarray(rgb2lab(self._small), dtype=np.float64)

    def _divide(self, count: int) -> npt.NDArray[np.intp]:
        height, width = self.crop.shape[:2]
        area = min(self.image_area / count, LARGEST_SUPERPIXEL * self.object_area)
        segments = min(max(2, round(height * width / area)), self._small.shape[0] * self._small.shape[1])
        # `slic` stretches what it is given to [0, 1], so that faint crops would count as vivid ones; the same for the
        # compactness undoes it.
        compactness = COMPACTNESS / max(float(np.ptp(self._lab)), 1e-6)
        for blur in SMOOTHING:
            labels = slic(self._lab, segments, compactness=compactness, sigma=blur, convert2lab=False, start_label=0)
            if labels.max() + 1 >= FEWEST * segments:
                break
        if labels.shape != (height, width):
            labels = cv2.resize(labels.astype(np.int32), (width, height), interpolation=cv2.INTER_NEAREST)
        return np.asarray(labels, dtype=np.intp)
