"""Image and mask files of every kind users have, read into arrays; what cannot be read is an `InputError`."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from samref.errors import InputError
from samref.structures import BoolArray

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"})
MAX_PIXELS = 150_000_000
BENCHMARK_THRESHOLD = 128
_SENSOR_BITS = (8, 10, 12, 14, 16)
_ORIENTATION = 0x0112


def read_image(path: str | Path, mask_size: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """Reads an image as users see it: RGB, turned by its EXIF orientation, transparency over white.

    More than eight bits a channel are scaled by the sensor depth (10, 12, 14 or 16 bits) that holds the largest
    value, since cameras and microscopes store 12 bits in 16 unmarked.

    Args:
        path: JPEG, PNG, TIFF, WebP, BMP or GIF (first frame) in any color mode.
        mask_size: (H, W) of the masks that go with it. Masks are taken to be drawn on the turned image; when their
            size fits the stored, unturned frame only, that frame is returned.

    Returns:
        H x W x 3 uint8 RGB.

    Raises:
        InputError: the file is missing, empty, truncated, corrupt, no image, or has over `MAX_PIXELS` pixels.
    """
    with opened(path, "image") as image:
        stored = image.height, image.width
        quarter_turn = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        turned = (stored[1], stored[0]) if quarter_turn else stored
        if mask_size is None or mask_size == turned or mask_size != stored:
            image = ImageOps.exif_transpose(image)
        return _to_rgb(image)


def image_size(path: str | Path) -> tuple[int, int]:
    """(H, W) of the image as `read_image` returns it, from the header alone.

    Raises:
        InputError: the header cannot be read.
    """
    with opened(path, "image", decode=False) as image:
        quarter_turn = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        return (image.width, image.height) if quarter_turn else (image.height, image.width)


def read_mask(path: str | Path, threshold: int | None = None) -> BoolArray:
    """Reads a binary mask.

    Args:
        path: an image file; palette images count by index. The three channels of an RGB mask must be equal.
        threshold: values at or above it are foreground. Without it the file must hold {0, 1} or {0, 255} only
            ({0, 65535} in 16-bit files); JPEG, which cannot store two values exactly, is cut at half.

    Returns:
        H x W bool.

    Raises:
        InputError: an unreadable file, or other values: they are named beside the expected ones.
    """
    with opened(path, "mask") as image:
        return binarize(mask_values(image, path), path, threshold, lossy=image.format == "JPEG")


def read_labels(path: str | Path) -> npt.NDArray[np.integer[Any]]:
    """Reads a label map: H x W integers, palette indices or gray values.

    Raises:
        InputError: an unreadable file, colors without a palette, or values that are no integers.
    """
    with opened(path, "mask") as image:
        return mask_values(image, path)


def binarize(
    values: npt.NDArray[np.integer[Any]], path: str | Path, threshold: int | None = None, lossy: bool = False
) -> BoolArray:
    """Turns the values of a mask file into H x W bool, see `read_mask`; `path` is for the message."""
    if threshold is None and lossy:
        threshold = BENCHMARK_THRESHOLD
    if threshold is not None:
        return np.asarray(values >= threshold)
    top = int(values.max(initial=0))
    if int(values.min(initial=0)) < 0 or top not in (0, 1, 255, 65535) or bool(np.any((values != 0) & (values != top))):
        raise InputError(
            f"mask {printable(path)} holds the values {_some(np.unique(values))}; expected {{0, 1}} or {{0, 255}}: "
            "binarize it, give a threshold, or read it as a label map"
        )
    return np.asarray(values != 0)


def mask_values(image: Image.Image, path: str | Path) -> npt.NDArray[np.integer[Any]]:
    """The values of an opened mask as H x W integers: palette indices, or the gray level of equal channels.

    Raises:
        InputError: channels that differ, transparency, or values that are no integers.
    """
    if image.mode in ("RGBA", "LA", "PA") and np.asarray(image.getchannel("A")).min(initial=255) < 255:
        raise InputError(f"mask {printable(path)} is partly transparent; expected an opaque gray or palette image")
    if image.mode == "LA":
        image = image.getchannel("L")
    elif image.mode == "PA":
        image = image.getchannel("P")
    values = np.asarray(image)
    if values.ndim == 3:
        if image.mode not in ("RGB", "RGBA") or np.any(values[..., :1] != values[..., 1:3]):
            raise InputError(
                f"mask {printable(path)} is a color image (mode {image.mode}); expected a gray or palette image"
            )
        values = values[..., 0]
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    if not np.issubdtype(values.dtype, np.integer):
        whole: npt.NDArray[np.integer[Any]] = np.rint(np.nan_to_num(values, nan=0.5)).astype(np.int32)
        if np.any(whole != values):
            raise InputError(f"mask {printable(path)} holds the values {_some(np.unique(values))}; expected integers")
        return whole
    found: npt.NDArray[np.integer[Any]] = values
    return found


def printable(path: str | Path) -> str:
    """A path as text that any terminal, json or csv can hold, even where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextmanager
def opened(path: str | Path, kind: str, decode: bool = True) -> Iterator[Image.Image]:
    """An image checked for size before a pixel is decoded; whatever Pillow raises comes out as `InputError`."""
    path = Path(path)
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"{kind} {printable(path)} is empty (0 bytes); expected an image file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                if decode:
                    _load(image, path)
                yield image
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{kind} {printable(path)} has more than {MAX_PIXELS / 1e6:.0f} million pixels; downscale or tile it"
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"{kind} {printable(path)} is missing") from error
    except IsADirectoryError as error:
        raise InputError(f"{kind} {printable(path)} is a folder; expected an image file") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{kind} {printable(path)} is not an image file, or of a format that is not read") from error
    # Pillow's decoders raise nearly everything on damaged files: OSError, SyntaxError, struct.error, IndexError...
    except Exception as error:
        reason = " ".join(str(error).split()).replace(str(path), "the file") or type(error).__name__
        raise InputError(f"{kind} {printable(path)} cannot be read: {printable(reason)}") from error


def _load(image: Image.Image, path: Path) -> None:
    if image.format == "PNG":
        # Decoding skips the checksums of the pixel data, so that damage would come out as garbage pixels.
        with Image.open(path) as check:
            check.verify()
    image.load()


def _to_rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode.startswith("I") or image.mode == "F":
        gray = _to_eight_bits(np.asarray(image))
        return np.repeat(gray[..., None], 3, axis=2)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        # A white ground is what viewers and web pages show behind transparent pixels.
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(image.convert("RGB"))


def _to_eight_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if not np.isfinite(values).all() or values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise ValueError(f"values from {values.min():g} to {values.max():g}; expected 0 to 65535")
    top = float(values.max(initial=0))
    if np.issubdtype(values.dtype, np.floating) and top <= 1.0:
        return np.asarray(np.rint(values * 255.0), dtype=np.uint8)
    bits = next(bits for bits in _SENSOR_BITS if top < 2**bits)
    return np.asarray(np.rint(values * (255.0 / (2**bits - 1))), dtype=np.uint8)


def _some(values: npt.NDArray[Any], most: int = 8) -> str:
    """{0, 1, 2, 255}, shortened in the middle when long."""
    texts = [f"{value:g}" if math.isfinite(float(value)) else str(value) for value in values.tolist()]
    if len(texts) > most:
        texts = [*texts[: most - 1], "...", texts[-1]]
    return "{" + ", ".join(texts) + "}"
