"""Mask files, read by what they show; what is lossy or could mean two things is an `InputError` that says so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from samref.errors import InputError
from samref.io.images import opened, printable
from samref.structures import BoolArray

Values = npt.NDArray[Any]

BENCHMARK_THRESHOLD = 128
LOSSY = frozenset({"JPEG", "MPO"})
# A lossy file of two levels holds other ones only near its edges: within so many pixels of them, and beyond by so much.
NOISY_DISTANCE, NOISE = 16, 8
DARK, BRIGHT, THICK = 64, 192, 5
# How far the channels of a gray lossy file differ.
TINT = 24
FULL = (1, 255, 65535)
# From here on integers are levels of gray, of which a fraction is no threshold.
FEW = 16
_SUBFILE_TYPE = 254
_REDUCED_OR_MASK = 1 | 4


@dataclass(frozen=True)
class Levels:
    """How a file says a binary mask.

    Attributes:
        off: what it holds where there is no object: a number, a palette index, or one number a channel.
        on: the same where there is one.
    """

    off: Values
    on: Values

    def stored(self, mask: BoolArray) -> Values:
        """An H x W mask as the file would hold it: H x W, or H x W x channels."""
        inside = mask[..., None] if self.on.ndim else mask
        # Most files hold 0 where there is no object, and a product is many times faster than a choice.
        found: Values = np.where(inside, self.on, self.off) if self.off.any() else inside * self.on
        return found


@dataclass(frozen=True)
class BinaryMask:
    """A binary mask, H x W bool, and how its file says it."""

    mask: BoolArray
    levels: Levels


def read_mask(path: str | Path, threshold: float | None = None, group: str = "dataset") -> BoolArray:
    """Reads a binary mask.

    Args:
        path: an image file.
        threshold: values, or palette indices, at or above it are foreground. Without it see `decode_binary`.
        group: of the options that errors name.

    Returns:
        H x W bool.

    Raises:
        InputError: an unreadable file, or one that can be understood in several ways: what it holds is named beside
            what is expected.
    """
    with opened(path, "mask") as image:
        if threshold is None:
            return decode_binary(image, path, group=group).mask
        return np.asarray(mask_values(image, path) >= threshold)


def read_labels(path: str | Path) -> npt.NDArray[np.integer[Any]]:
    """Reads a label map: H x W integers, palette indices or gray values.

    Raises:
        InputError: an unreadable file, colors without a palette, or values that are no integers.
    """
    with opened(path, "mask") as image:
        return label_values(image, path)


def decode_binary(
    image: Image.Image, path: str | Path, threshold: float | None = None, group: str = "dataset"
) -> BinaryMask:
    """The binary mask that an opened file shows.

    Of two gray levels the object is the one that is not 0; of two colors, in a palette of any order or in channels, the
    one that is neither black nor transparent; of one color on transparent ground, that. A JPEG, which stores nothing
    exactly, must be black and white but for the noise at edges.

    Args:
        image: opened and loaded.
        path: of the file, for errors.
        threshold: makes a mask of more than two gray levels; masks of {0, 1} and {0, 255} stay as they are.
        group: of the options that errors name.

    Raises:
        InputError: for anything else.
    """
    demand_one_page(image, path)
    raw = np.asarray(image)
    if image.mode in ("P", "PA"):
        return _of_palette(image, raw, path, threshold, group)
    if image.mode in ("RGBA", "LA") and raw[..., -1].min(initial=255) < 255:
        return _of_transparency(raw, path)
    colors = raw[..., :3] if image.mode in ("RGB", "RGBA") else raw
    if image.mode in ("RGB", "RGBA") and not _is_gray(colors, image.format):
        if image.format in LOSSY:
            raise _unclear(path, f"a color image (mode {image.mode}) in a lossy format", "a PNG in black and white")
        return _of_colors(raw, path)
    if image.mode not in ("1", "L", "LA", "I", "F", "RGB", "RGBA") and not image.mode.startswith("I;16"):
        raise InputError(
            f"mask {printable(path)} is a color image (mode {image.mode}); expected a gray or palette image"
        )
    levels = raw.astype(np.uint8) if raw.dtype == bool else colors[..., 0] if raw.ndim == 3 else raw
    lossy = image.format in LOSSY or (image.format == "WEBP" and len(distinct_values(levels)) > 2)
    mask, off, on = _of_levels(levels, path, threshold, lossy, group)
    if raw.ndim == 3:
        opaque = [255] if image.mode in ("LA", "RGBA") else []
        repeated = 1 if image.mode == "LA" else 3
        return BinaryMask(mask, Levels(*(np.array([value] * repeated + opaque, raw.dtype) for value in (off, on))))
    return BinaryMask(mask, Levels(np.array(off, raw.dtype), np.array(on, raw.dtype)))


def label_values(image: Image.Image, path: str | Path) -> npt.NDArray[np.integer[Any]]:
    """As `mask_values`, of a file that can keep labels.

    Raises:
        InputError: as there, and for a lossy format.
    """
    demand_lossless(image, path)
    return mask_values(image, path)


def demand_lossless(image: Image.Image, path: str | Path) -> None:
    """Refuses labels in a format that keeps none exactly.

    Raises:
        InputError: naming the format.
    """
    if image.format in LOSSY:
        raise _unclear(path, f"labels in a lossy format ({image.format}), which keeps none exactly", "a PNG or TIFF")


def mask_values(image: Image.Image, path: str | Path) -> npt.NDArray[np.integer[Any]]:
    """The values of an opened label map as H x W integers: palette indices, or the gray level of equal channels.

    Raises:
        InputError: several pages, channels that differ, transparency, or values that are no integers.
    """
    demand_one_page(image, path)
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
                f"mask {printable(path)} is a color image (mode {image.mode}); expected a gray or palette image, or a "
                "table of its colors (dataset.palette=FILE)"
            )
        values = values[..., 0]
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    if not np.issubdtype(values.dtype, np.integer):
        whole: npt.NDArray[np.integer[Any]] = np.rint(np.nan_to_num(values, nan=0.5)).astype(np.int32)
        if np.any(whole != values):
            raise InputError(f"mask {printable(path)} holds the values {some(np.unique(values))}; expected integers")
        return whole
    found: npt.NDArray[np.integer[Any]] = values
    return found


def demand_one_page(image: Image.Image, path: str | Path) -> None:
    """Refuses masks of several pages or frames, which may be one object each, or one moment; overviews are none.

    Raises:
        InputError: naming how many there are.
    """
    if getattr(image, "n_frames", 1) < 2:
        return
    # Another object: turning pages loses what was loaded of this one.
    with Image.open(path) as other:
        pages = 0
        for k in range(int(getattr(other, "n_frames", 1))):
            other.seek(k)
            tags = getattr(other, "tag_v2", {})
            pages += not int(tags.get(_SUBFILE_TYPE, 0)) & _REDUCED_OR_MASK
    if pages > 1:
        raise InputError(
            f"mask {printable(path)} has {pages} pages or frames; expected one: save each as a file of its own, "
            "NAME_1.png, NAME_2.png, ..."
        )


def palette_colors(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The 256 x 4 colors (RGBA) of a palette image; indices that the palette lacks are black."""
    colors = np.zeros((256, 4), np.uint8)
    colors[:, 3] = 255
    listed = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)[:256]
    colors[: len(listed), :3] = listed
    transparent = image.info.get("transparency")
    if isinstance(transparent, bytes):
        colors[: len(transparent), 3] = np.frombuffer(transparent, np.uint8)[:256]
    elif isinstance(transparent, int) and transparent < 256:
        colors[transparent, 3] = 0
    return colors


def distinct_values(values: Values) -> Values:
    """What `np.unique` returns, several times as fast for the two levels that nearly every mask has."""
    if values.dtype == np.uint8 and values.size:
        low, high = values.min(), values.max()
        if ((values == low) | (values == high)).all():
            return np.array([low, high] if low != high else [low])
    found: Values = np.unique(values)
    return found


def some(values: npt.NDArray[Any], most: int = 8) -> str:
    """{0, 1, 2, 255}, shortened in the middle when long."""
    texts = [f"{value:g}" if math.isfinite(float(value)) else str(value) for value in values.tolist()]
    if len(texts) > most:
        texts = [*texts[: most - 1], "...", texts[-1]]
    return "{" + ", ".join(texts) + "}"


def _of_palette(image: Image.Image, raw: Values, path: str | Path, threshold: float | None, group: str) -> BinaryMask:
    if image.mode == "PA":
        if raw[..., 1].min(initial=255) < 255:
            raise InputError(f"mask {printable(path)} is partly transparent; expected an opaque gray or palette image")
        raw = raw[..., 0]
    colors = palette_colors(image)
    used = distinct_values(raw)
    shown = colors[used]
    if (shown[:, 3] == 255).all() and (shown[:, :1] == shown[:, 1:3]).all() and len(set(shown[:, 0].tolist())) > 1:
        mask, off, on = _of_levels(colors[raw, 0], path, threshold, False, group)
        brightness = shown[:, 0].astype(int)
        nearest = [used[np.abs(brightness - int(level)).argmin()] for level in (off, on)]
        return BinaryMask(mask, Levels(*(np.array(index, raw.dtype) for index in nearest)))
    distinct = len({tuple(color) for color in shown.tolist()})
    if distinct == 1:
        # A palette that shows nothing leaves the indices, of which 0 is the background.
        nothing = _shows_nothing(shown)[0]
        if len(used) > 2 or (len(used) == 2 and used[0] != 0) or (len(used) == 1 and used[0] == 0 and not nothing):
            raise _unclear(path, f"the palette indices {some(used)} in one color", "two colors, one of them black")
        on = used[-1] if used[-1] else 1
        return BinaryMask(np.asarray(raw != 0), Levels(np.array(0, raw.dtype), np.array(on, raw.dtype)))
    ground = used[_shows_nothing(shown)]
    if len(used) > 2 or len(ground) != 1:
        raise _unclear(
            path,
            f"{len(used)} colors of a palette, {len(ground)} of them black or transparent",
            f"two, one of them black; or a label map ({group}.label_maps=true)",
        )
    (off,) = ground
    on = used[used != off][0]
    return BinaryMask(np.asarray(raw == on), Levels(np.array(off, raw.dtype), np.array(on, raw.dtype)))


def _shows_nothing(colors: npt.NDArray[np.uint8]) -> BoolArray:
    return np.asarray((colors[:, 3] == 0) | (colors[:, :3] == 0).all(axis=1))


def _of_transparency(raw: Values, path: str | Path) -> BinaryMask:
    alpha = raw[..., -1]
    found = np.unique(alpha)
    if len(found) > 2 or (len(found) == 2 and found[0] != 0):
        raise InputError(
            f"mask {printable(path)} is partly transparent in {len(found)} degrees; expected an opaque gray or palette "
            "image: save its alpha channel as a gray mask and give dataset.threshold=128"
        )
    visible = alpha > 0
    colors = np.unique(raw[visible], axis=0) if visible.any() else np.full((1, raw.shape[2]), 255, raw.dtype)
    if len(colors) > 1:
        raise InputError(
            f"mask {printable(path)} is a picture of {len(colors)} colors that is partly transparent; expected one "
            "color on transparent ground, or an opaque gray or palette image"
        )
    off = raw[~visible][0] if not visible.all() else np.zeros(raw.shape[2], raw.dtype)
    return BinaryMask(visible, Levels(off, colors[0]))


def _of_colors(raw: Values, path: str | Path) -> BinaryMask:
    colors = np.unique(raw.reshape(-1, raw.shape[2]), axis=0)
    black = (colors[:, :3] == 0).all(axis=1)
    if len(colors) == 2 and black.sum() == 1:
        off, on = colors[black][0], colors[~black][0]
        return BinaryMask(np.asarray((raw == on).all(axis=2)), Levels(off, on))
    raise InputError(
        f"mask {printable(path)} is a color image of {len(colors)} colors; expected a gray or palette image, one color "
        "on black, or a table of its colors (dataset.palette=FILE)"
    )


def _is_gray(colors: Values, file_format: str | None) -> bool:
    if file_format in LOSSY:
        return bool(np.ptp(colors.astype(np.int16), axis=2).max(initial=0) <= TINT)
    return bool((colors[..., :1] == colors[..., 1:]).all())


def _of_levels(
    levels: Values, path: str | Path, threshold: float | None, lossy: bool, group: str
) -> tuple[BoolArray, Any, Any]:
    """A mask, and the levels of its background and object."""
    found = distinct_values(levels)
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise InputError(f"mask {printable(path)} holds the values {some(found)}; expected finite numbers")
    top, low = (found[-1], found[0]) if len(found) else (0, 0)
    plain = low == 0 and len(found) <= 2 and (top == 0 or top in FULL)
    if threshold is not None and not (plain and not lossy):
        _demand_scale(found, path, threshold, group)
        return np.asarray(levels >= threshold), 0, _white(levels)
    if lossy:
        _demand_black_and_white(levels, path, group)
        return np.asarray(levels >= BENCHMARK_THRESHOLD), 0, 255
    if low == 0 and len(found) <= 2:
        return np.asarray(levels != 0), 0, top if top else _white(levels)
    if len(found) == 1 and top in FULL:
        return np.ones(levels.shape, bool), 0, top
    fractions = found.dtype.kind == "f" and bool((found % 1 != 0).any())
    example = "0.5" if fractions and top <= 1 else "128"
    raise InputError(
        f"mask {printable(path)} holds the values {some(found)}; expected {{0, 1}} or {{0, 255}}: "
        f"binarize it, give a threshold ({group}.threshold={example}), or read it as a label map "
        f"({group}.label_maps=true)"
    )


def _white(levels: Values) -> Any:
    if levels.dtype.kind == "f":
        return 1 if levels.max(initial=0) <= 1 else 255
    return 65535 if levels.max(initial=0) > 255 or levels.dtype.itemsize == 2 else 255


def _demand_scale(found: Values, path: str | Path, threshold: float, group: str) -> None:
    """Refuses a threshold that was meant for values of another range."""
    top = float(found[-1]) if len(found) else 0.0
    fractions = found.dtype.kind == "f" and 0 < top <= 1
    if (fractions and threshold > 1) or (not fractions and top >= FEW and 0 < threshold < 1):
        raise InputError(
            f"mask {printable(path)} holds the values {some(found)}, but {group}.threshold is {threshold:g}; expected "
            "a threshold between them"
        )


def _demand_black_and_white(levels: Values, path: str | Path, group: str) -> None:
    """Refuses a lossy file with other levels than black and white, beside the noise at edges."""
    top, low = int(levels.max(initial=0)), int(levels.min(initial=0))
    middle = (levels > DARK) & (levels < BRIGHT)
    edges = cv2.morphologyEx(
        (levels >= BENCHMARK_THRESHOLD).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)
    )
    far = cv2.dilate(edges, np.ones((2 * NOISY_DISTANCE + 1,) * 2, np.uint8)) == 0
    noisy = far & (levels > NOISE) & (levels < 255 - NOISE)
    thick = cv2.erode(middle.astype(np.uint8), np.ones((THICK, THICK), np.uint8), borderValue=(0.0,) * 4)
    if (0 < top < BRIGHT) or (DARK < low < BRIGHT) or thick.any() or noisy.any():
        raise _unclear(
            path,
            f"levels from {low} to {top} in a lossy format, which keeps none exactly",
            f"black and white: save it as PNG, or give a threshold ({group}.threshold=128)",
        )


def _unclear(path: str | Path, holds: str, expected: str) -> InputError:
    return InputError(f"mask {printable(path)} holds {holds}; expected {expected}")
