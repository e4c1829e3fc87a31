"""Image files of every kind users have, read into arrays; what cannot be read is an `InputError`."""

from __future__ import annotations

import io
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

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"})
MAX_PIXELS = 150_000_000
_SENSOR_BITS = (8, 10, 12, 14, 16)
ORIENTATION = 0x0112


def read_image(path: str | Path, stored: bool = False) -> npt.NDArray[np.uint8]:
    """Reads an image as users see it: RGB, turned by its EXIF orientation, transparency over white.

    More than eight bits a channel are scaled by the sensor depth (10, 12, 14 or 16 bits) that holds the largest
    value, since cameras and microscopes store 12 bits in 16 unmarked.

    Args:
        path: JPEG, PNG, TIFF, WebP, BMP or GIF (first frame) in any color mode.
        stored: whether the pixels stay as they are stored, not turned.

    Returns:
        H x W x 3 uint8 RGB.

    Raises:
        InputError: the file is missing, empty, truncated, corrupt, no image, or has over `MAX_PIXELS` pixels.
    """
    with opened(path, "image") as image:
        return _to_rgb(image if stored else ImageOps.exif_transpose(image))


def decode_image(data: bytes, source: str | Path) -> npt.NDArray[np.uint8]:
    """As `read_image`, of an image file that another file holds.

    Args:
        data: the image file's bytes.
        source: the file that holds it, for errors.

    Returns:
        H x W x 3 uint8 RGB.

    Raises:
        InputError: as `read_image`.
    """
    with opened(source, "image inside of", data=data) as image:
        return _to_rgb(ImageOps.exif_transpose(image))


def image_size(path: str | Path) -> tuple[int, int]:
    """(H, W) of the image as `read_image` returns it, from the header alone.

    Raises:
        InputError: the header cannot be read.
    """
    with opened(path, "image", decode=False) as image:
        quarter_turn = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        return (image.width, image.height) if quarter_turn else (image.height, image.width)


def printable(path: str | Path) -> str:
    """A path as text that any terminal, json or csv can hold, even where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextmanager
def opened(path: str | Path, kind: str, decode: bool = True, data: bytes | None = None) -> Iterator[Image.Image]:
    """An image checked for size before a pixel is decoded; whatever Pillow raises comes out as `InputError`."""
    path = Path(path)
    try:
        if data is None and path.is_file() and path.stat().st_size == 0:
            raise InputError(f"{kind} {printable(path)} is empty (0 bytes); expected an image file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path if data is None else io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                if decode:
                    _load(image, path if data is None else io.BytesIO(data))
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


def _load(image: Image.Image, path: Path | io.BytesIO) -> None:
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
