"""A photo with rough masks to try things on: a portrait that scikit-image carries, outlined carelessly by hand."""

from __future__ import annotations

import cv2
import numpy as np
from skimage import data

from samref.structures import BoolArray
from samref.visualization.drawing import Canvas

# Corners (x, y) in image px, as somebody in a hurry would click them: corners cut, background caught.
OUTLINES = {
    "astronaut": (
        (168, 48), (225, 4), (290, 30), (312, 100), (268, 150), (318, 205), (312, 262), (352, 292), (350, 352),
        (296, 372), (262, 430), (270, 511), (52, 511), (8, 440), (24, 318), (78, 242), (112, 158), (176, 150),
        (142, 104),
    ),
    "helmet": (
        (330, 368), (404, 330), (468, 360), (505, 432), (506, 500), (440, 511), (312, 511), (290, 448),
    ),
}  # fmt: skip


def example() -> tuple[Canvas, BoolArray]:
    """The photo, 512 x 512 x 3 uint8 RGB, and the rough masks of its two objects, 2 x 512 x 512 bool."""
    image: Canvas = data.astronaut()
    masks = np.zeros((len(OUTLINES), *image.shape[:2]), dtype=np.uint8)
    for mask, corners in zip(masks, OUTLINES.values(), strict=True):
        cv2.fillPoly(mask, [np.array(corners, dtype=np.int32)], 1)
    return image, masks.astype(bool)
