"""What the Python API accepts: images and masks in the forms people have them, checked."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from samref.errors import InputError
from samref.io.images import read_image
from samref.structures import BoolArray

ImageLike: TypeAlias = "npt.NDArray[np.uint8] | Image.Image | str | Path"


def as_image(image: ImageLike) -> npt.NDArray[np.uint8]:
    """An H x W x 3 uint8 RGB array.

    Raises:
        InputError: for another shape or dtype.
    """
    if isinstance(image, (str, Path)):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        if image.mode != "RGB":
            raise InputError(f"image has mode {image.mode}; expected RGB (use image.convert('RGB'))")
        return np.asarray(image)
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise InputError(f"image has shape {array.shape}; expected H x W x 3, RGB")
    if array.dtype != np.uint8:
        raise InputError(f"image has dtype {array.dtype}; expected uint8 RGB in 0..255")
    return array


def as_masks(masks: npt.ArrayLike, original_size: tuple[int, int], what: str = "mask") -> BoolArray:
    """N x H x W bool masks of an image.

    Args:
        masks: H x W or N x H x W; bool, 0/1 or 0/255.
        original_size: (H, W) of the image.
        what: how the error calls them.

    Raises:
        InputError: for another shape or other values, naming both.

    >>> as_masks([[0, 255]], (1, 2))
    array([[[False,  True]]])
    """
    array = np.asarray(masks)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3:
        raise InputError(f"{what} has shape {array.shape}; expected H x W or N x H x W")
    if array.shape[1:] != original_size:
        raise InputError(
            f"{what} has size {array.shape[1]} x {array.shape[2]}, "
            f"expected the image's {original_size[0]} x {original_size[1]} (height x width)"
        )
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf":
        raise InputError(f"{what} has dtype {array.dtype}; expected bool, 0/1 or 0/255")
    top = array.max(initial=0)
    on = array == top
    if top not in (0, 1, 255) or not (on | (array == 0)).all():
        found = np.unique(array)
        listed = ", ".join(f"{value:g}" for value in found[:6]) + (", ..." if len(found) > 6 else "")
        raise InputError(f"{what} has values {{{listed}}}; expected bool, 0/1 or 0/255")
    chosen: BoolArray = on & (top > 0)
    return chosen
