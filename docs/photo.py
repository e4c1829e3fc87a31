"""`python docs/photo.py`: draws docs/photo.jpg, the README's picture, with the default model."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from samref import SAMRefiner
from samref.visualization.drawing import COLORS, View, captioned, outlined
from samref.visualization.example_photo import example

SIDE = 600
QUALITY = 85


def main() -> None:
    """Rough masks on the left, what becomes of them on the right."""
    image, coarse = example()
    result = SAMRefiner.from_pretrained("mobile_sam", verdict=True).refine(image, coarse)
    view = View.of(image, SIDE)
    colors = (COLORS[1], COLORS[5])
    before, after = (outlined(view.picture, view.masks(masks), 3, colors, 0.4) for masks in (coarse, result.masks))
    picture = np.hstack([captioned(before, "rough masks, drawn by hand"), captioned(after, "refined by samref")])
    path = Path(__file__).with_suffix(".jpg")
    cv2.imwrite(str(path), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    print(path, path.stat().st_size, result.flags, result.reasons, result.scores)


if __name__ == "__main__":
    main()
