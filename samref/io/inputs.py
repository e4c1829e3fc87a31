"""What the Python API accepts: images and masks in the forms people have them, checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from samref.errors import InputError
from samref.io.images import read_image
from samref.io.orientation import frame_sizes, read_image_of
from samref.structures import BoolArray

ImageLike: TypeAlias = "npt.NDArray[np.uint8] | Image.Image | str | Path"


def as_image(image: ImageLike) -> npt.NDArray[np.uint8]:
    """An H x W x 3 uint8 RGB array.

    Args:
        image: an array or tensor of that shape, a PIL image in mode RGB, or the path of any image file.

    Raises:
        InputError: for another shape or dtype.
    """
    if isinstance(image, (str, Path)):
        return read_image(Path(image).expanduser())
    if isinstance(image, Image.Image):
        if image.mode != "RGB":
            raise InputError(f"image has mode {image.mode}; expected RGB (use image.convert('RGB'))")
        return np.asarray(image)
    array = _as_array(image, "image")
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        channels_first = array.ndim == 3 and array.shape[0] == 3
        advice = "; channels go last: image.transpose(1, 2, 0)" if channels_first else ""
        raise InputError(f"image has shape {array.shape}; expected H x W x 3, RGB{advice}")
    if array.dtype != np.uint8:
        raise InputError(f"image has dtype {array.dtype}; expected uint8 RGB in 0..255")
    return array


def as_image_and_masks(image: ImageLike, masks: Any) -> tuple[npt.NDArray[np.uint8], BoolArray]:
    """An image and its masks, see `as_image` and `as_masks`.

    A photo that is read from a file and has an EXIF orientation is turned or not as its masks were drawn.

    Args:
        image: as in `as_image`.
        masks: as in `as_masks`.

    Raises:
        InputError: as there, and where a photo may be turned or not.
    """
    if not isinstance(image, (str, Path)):
        pixels = as_image(image)
        return pixels, as_masks(masks, (pixels.shape[0], pixels.shape[1]))
    path = Path(image).expanduser()
    turned, stored = frame_sizes(path)
    drawn = as_masks(masks, turned, or_size=stored)
    try:
        return read_image_of(path, drawn)[0], drawn
    except InputError as error:
        advice = "pass the image as an array instead, turned or not as the masks were drawn"
        raise InputError(str(error).partition("; give")[0] + f"; {advice}") from None


def as_masks(
    masks: Any, original_size: tuple[int, int], what: str = "mask", or_size: tuple[int, int] | None = None
) -> BoolArray:
    """N x H x W bool masks of an image.

    Args:
        masks: H x W, N x H x W or N x 1 x H x W, as array, tensor (on any device, of any precision, with or without
            gradient) or list of either; bool, 0/1, 0/255, or 0 and one other integer. An empty list is no mask.
        original_size: (H, W) of the image.
        what: how the error calls them.
        or_size: another size that they may have.

    Raises:
        InputError: for another shape or other values, naming both.

    >>> as_masks([[0, 255]], (1, 2))
    array([[[False,  True]]])
    >>> as_masks([], (1, 2)).shape
    (0, 1, 2)
    """
    array = _as_array(masks, what)
    if array.size == 0 and (array.ndim == 1 or (array.ndim > 2 and len(array) == 0)):
        return np.zeros((0, *original_size), bool)
    if array.ndim == 4 and 1 in (array.shape[1], array.shape[3]):
        array = array[:, 0] if array.shape[1] == 1 else array[..., 0]
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3:
        raise InputError(f"{what} has shape {array.shape}; expected H x W or N x H x W")
    if array.shape[1:] not in (original_size, or_size or original_size):
        raise InputError(
            f"{what} has size {array.shape[1]} x {array.shape[2]}, "
            f"expected the image's {original_size[0]} x {original_size[1]} (height x width)"
        )
    return _as_bool(array, what)


def _as_bool(array: npt.NDArray[Any], what: str) -> BoolArray:
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf":
        raise InputError(f"{what} has dtype {array.dtype}; expected bool, 0/1 or 0/255")
    top = array.max(initial=0)
    on = array == top
    known = top in (0, 1, 255) or (array.dtype.kind != "f" and top > 0)
    if not known or not (on | (array == 0)).all():
        found = np.unique(array)
        listed = ", ".join(f"{value:g}" for value in found[:6]) + (", ..." if len(found) > 6 else "")
        example = "0.5" if array.dtype.kind == "f" and 0 < top <= 1 else "128" if top > 1 else "0"
        raise InputError(
            f"{what} has values {{{listed}}}; expected bool, 0/1 or 0/255: pass masks >= T with the threshold T from "
            f"which a pixel is the object, such as masks >= {example}"
        )
    chosen: BoolArray = on & (top > 0)
    return chosen


def _as_array(values: Any, what: str) -> npt.NDArray[Any]:
    """An array of arrays, tensors, images or lists of them."""
    if values is None or isinstance(values, (str, Path)):
        kind = "None" if values is None else f"a {type(values).__name__}"
        raise InputError(
            f"{what} is {kind}; expected an array, a tensor or a list of them (an empty list for no {what})"
        )
    try:
        if isinstance(values, (list, tuple)) and any(
            _is_tensor(part) or isinstance(part, Image.Image) for part in values
        ):
            return _stacked([_as_array(part, what) for part in values], what)
        if _is_tensor(values):
            plain = values.detach().cpu()
            # numpy has no bfloat16.
            return np.asarray((plain.float() if plain.is_floating_point() else plain).numpy())
        return np.asarray(values)
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        if isinstance(values, (list, tuple)):
            shapes = {np.shape(part) for part in values if isinstance(part, np.ndarray)}
            if len(shapes) > 1:
                raise _of_shapes(what, shapes) from None
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{what} is a {type(values).__name__} that is no array ({reason}); expected one") from None


def _stacked(arrays: Sequence[npt.NDArray[Any]], what: str) -> npt.NDArray[Any]:
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise _of_shapes(what, shapes)
    return np.stack(arrays)


def _of_shapes(what: str, shapes: set[tuple[int, ...]]) -> InputError:
    return InputError(f"the list of {what}s holds shapes {sorted(shapes)[:3]}; expected one shape, the image's H x W")


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "detach") and hasattr(value, "is_floating_point")
