"""What a backbone demands of images and prompts."""

from __future__ import annotations

from typing import Any

import numpy as np

from samref.errors import InputError
from samref.structures import Prompts


def check_image(image: Any) -> None:
    """Raises `InputError` unless `image` is H x W x 3 uint8 and not empty."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = getattr(image, "dtype", type(image).__name__)
        raise InputError(f"image is {found}; expected a uint8 array of shape (H, W, 3), RGB")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InputError(f"image has shape {image.shape}; expected (H, W, 3), RGB, with at least one pixel")


def check_prompts(prompts: Prompts, mask_input_size: tuple[int, int]) -> None:
    """Raises `InputError` unless the parts of `prompts` fit each other and the logit grid."""
    count = len(prompts)
    points, labels = prompts.point_coords, prompts.point_labels
    if (points is None) != (labels is None):
        raise InputError("point_coords and point_labels must be given together")
    expected = {
        "point_coords": (points, (count, None if points is None else points.shape[1], 2)),
        "point_labels": (labels, (count, None if points is None else points.shape[1])),
        "boxes": (prompts.boxes, (count, 4)),
        "mask_input": (prompts.mask_input, (count, 1, *mask_input_size)),
    }
    for name, (array, shape) in expected.items():
        if array is not None and array.shape != shape:
            raise InputError(f"{name} has shape {array.shape}; expected {shape} for {count} prompts")
