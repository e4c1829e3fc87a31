"""What is measured on: a procedural scene at several sizes, with any number of coarse masks."""

from __future__ import annotations

import cv2
import numpy as np

from samref.datasets.defects import simulate_defects
from samref.datasets.scenes.scenes import make_scene
from samref.structures import BoolArray, Sample

SIZES = {"480p": (480, 854), "2 MP": (1224, 1632), "6 MP": (2000, 3000), "20 MP": (3872, 5164)}
PAINTED = (480, 640)  # scenes are painted at this size: what is timed depends on the number of pixels, not on detail


def make_case(size: str, count: int) -> Sample:
    """A scene of four things with `count` coarse masks, each of one thing with defects of its own.

    Args:
        size: name in `SIZES`.
        count: number of masks.
    """
    image, truth, _ = make_scene(4, PAINTED, (4, 4), 0)
    height, width = SIZES[size]
    masks = [simulate_defects(image, truth[k % len(truth)], k) for k in range(count)]
    return Sample(
        cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC),
        np.stack([enlarged(mask, (height, width)) for mask in masks]),
        size,
        tuple(range(count)),
    )


def enlarged(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    """A mask in another size."""
    return cv2.resize(mask.view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST).view(bool)
