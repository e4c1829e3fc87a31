"""Simulated coarse masks: super-pixel defects as in DAVIS-585 (protocol of FocalClick)."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import numpy.typing as npt
from skimage.color import rgb2lab
from skimage.segmentation import slic

from samref.masks import pair_iou, tight_box
from samref.structures import BoolArray

ZONES = ("boundary", "inner", "outer")
ZONE_CHANCES = (0.65, 0.25, 0.10)
SEGMENTS = (50, 100, 200, 300, 500, 700)
COMPACTNESS = 10
LOWEST, HIGHEST = 0.75, 0.85
DEFECTS, RESTARTS = 10, 30
# The neighbourhood that is split into super-pixels: the object's box and this share of its longer side around it.
MARGIN = 0.5

Zones = dict[str, npt.NDArray[np.intp]]


def stable_seed(*parts: object) -> int:
    """A seed that the same ids always give, on any machine and in any process."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def simulate_defects(image: npt.NDArray[np.uint8], truth: BoolArray, seed: int) -> BoolArray:
    """A coarse mask made from a true one by adding and removing super-pixels.

    Up to ten times a zone is drawn (boundary, inner, outer), the Lab image is split into super-pixels, and the one
    under a random pixel of the zone is added if that pixel is background, else removed; it ends as soon as the IoU
    with the truth is in [0.75, 0.85], and starts again when it falls below. Deviation from the protocol: super-pixels
    are made on the neighbourhood of the object, not on the whole image.

    Args:
        image: H x W x 3 uint8 RGB.
        truth: H x W bool.
        seed: decides everything; see `stable_seed`.

    Returns:
        H x W bool. After 30 restarts, the mask that came nearest to the interval; the truth itself if it is empty.
    """
    window = _neighbourhood(truth)
    if window is None:
        return truth.copy()
    crop = np.ascontiguousarray(truth[window])
    maker = _Maker(rgb2lab(image[window]), crop, np.random.default_rng(seed))
    coarse = truth.copy()
    coarse[window] = maker.run()
    return coarse


class _Maker:
    """One object's attempts; super-pixels of each size are made once and shared by all of them."""

    def __init__(self, lab: npt.NDArray[np.float64], truth: BoolArray, generator: np.random.Generator) -> None:
        self.lab, self.truth, self.generator = lab, truth, generator
        self.zones = zones_of(truth)
        self.segments: dict[int, npt.NDArray[np.int64]] = {}

    def run(self) -> BoolArray:
        """The first attempt that lands in the interval, else the nearest one seen."""
        nearest, distance = self.truth, np.inf
        for _ in range(RESTARTS):
            mask = self.truth.copy()
            for _ in range(DEFECTS):
                self._defect(mask)
                iou = pair_iou(mask, self.truth)
                if LOWEST <= iou <= HIGHEST and mask.any():
                    return mask
                miss = max(LOWEST - iou, iou - HIGHEST)
                if miss < distance and mask.any():
                    nearest, distance = mask.copy(), miss
                if iou < LOWEST:
                    break
        return nearest

    def _defect(self, mask: BoolArray) -> None:
        zone = self.zones[ZONES[int(self.generator.choice(len(ZONES), p=ZONE_CHANCES))]]
        segments = self._superpixels(int(self.generator.choice(SEGMENTS)))
        if len(zone) == 0:
            return
        row, column = np.unravel_index(zone[int(self.generator.integers(len(zone)))], mask.shape)
        mask[segments == segments[row, column]] = not mask[row, column]

    def _superpixels(self, count: int) -> npt.NDArray[np.int64]:
        if count not in self.segments:
            self.segments[count] = superpixels(self.lab, count)
        return self.segments[count]


def superpixels(lab: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """H x W labels of about `count` super-pixels of an H x W x 3 Lab image (SLIC, compactness 10)."""
    # `slic` stretches what it is given to 0..1, which is meant for RGB; the same for the compactness undoes it.
    span = max(float(np.ptp(lab)), 1e-6)
    segments: npt.NDArray[np.int64] = slic(
        lab, n_segments=count, compactness=COMPACTNESS / span, convert2lab=False, start_label=0
    )
    return segments


def zones_of(truth: BoolArray) -> Zones:
    """Flat indices of three zones: boundary (between 3x 5x5 erosion and dilation), inside of it, outside of it."""
    kernel, mask = np.ones((5, 5), np.uint8), truth.astype(np.uint8)
    eroded = cv2.erode(mask, kernel, iterations=3, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    dilated = cv2.dilate(mask, kernel, iterations=3) > 0
    return {
        "boundary": np.flatnonzero(dilated & ~eroded),
        "inner": np.flatnonzero(eroded),
        "outer": np.flatnonzero(~dilated),
    }


def _neighbourhood(truth: BoolArray) -> tuple[slice, slice] | None:
    box = tight_box(truth)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    margin = max(16, int(MARGIN * max(x1 - x0 + 1, y1 - y0 + 1)))
    return slice(max(0, y0 - margin), y1 + margin + 1), slice(max(0, x0 - margin), x1 + margin + 1)
