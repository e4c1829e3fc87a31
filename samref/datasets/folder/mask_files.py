"""Mask files of any encoding: read as one or several masks, written back as they came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from samref.datasets.folder.style import Style, Values
from samref.errors import InputError
from samref.io.colors import ColorTable
from samref.io.images import opened, printable
from samref.io.masks import (
    Levels,
    decode_binary,
    demand_lossless,
    demand_one_page,
    label_values,
    mask_values,
    palette_colors,
    some,
)
from samref.structures import BoolArray

AUTO = "auto"
IGNORE = 255
# From this share of the borders between labels on, 0 may be a label itself.
DENSE_SHARE = 0.25
DENSE = (
    "labels border on each other more than on 0; 0 is taken as background: if it is a class, give "
    "dataset.background=null (0 if it is none)"
)
NO_BLACK = (
    "no label shows black, so that every pixel is taken to have a label, 0 too; if one is the background, give "
    "dataset.background=LABEL"
)
MAX_LABELS = 4096
_WHITE = [255, 255, 255]


@dataclass(frozen=True)
class MaskFile:
    """What a mask file holds.

    Attributes:
        masks: N x H x W bool: one mask, or one of each label that occurs.
        labels: their labels; None for a binary mask.
        background: the value of pixels that no label has, or None where every pixel has one.
        ignored: H x W bool, pixels of a label map that stay what they are; None for a binary mask.
        warnings: what a person should know of how it was read.
        problem: why nothing of a label map is refined, or None.
        written: how a binary PNG is written; None for other files.
    """

    masks: BoolArray
    labels: tuple[int, ...] | None
    background: int | None = 0
    ignored: BoolArray | None = None
    warnings: tuple[str, ...] = ()
    problem: str | None = None
    written: tuple[Style, Levels] | None = None

    @property
    def objects(self) -> tuple[int | None, ...]:
        """One a mask: its label, or None for the mask of a binary file."""
        return (None,) if self.labels is None else self.labels


def read_mask_file(
    path: Path,
    label_maps: bool | None = None,
    threshold: float | None = None,
    background: int | str | None = AUTO,
    palette: ColorTable | None = None,
) -> MaskFile:
    """Reads a binary mask or a label map.

    Args:
        path: an image file.
        label_maps: True: a label map; False: a binary mask. None decides by content: palette images with other values
            than two are label maps, where {0, 1} are two, and {0, 255} are if the palette shows 255 as white; all else
            is binary, and so is a palette of grays alone.
        threshold: makes binary masks of gray ones that hold more than two values.
        background: the value of pixels that belong to no label; None: there are none, 0 is a label like others. `auto`
            takes the palette index that shows black, none if no index does, and 0 without a palette.
        palette: makes label maps of RGB files, by their colors.

    Returns:
        The masks. In a label map 255 in 8-bit files and negative values are pixels to be ignored.

    Raises:
        InputError: an unreadable file, a gray one with more than two values without a rule how to read it, or one that
            could mean two things.
    """
    with opened(path, "mask") as image:
        if palette is not None and label_maps is not False and image.mode in ("RGB", "RGBA"):
            return _in_colors(image, path, background, palette)
        if not (label_maps if label_maps is not None else _is_label_map(image)):
            binary = decode_binary(image, path, threshold)
            written = (Style.of(image), binary.levels) if image.format == "PNG" else None
            return MaskFile(binary.mask[None], None, written=written)
        values = label_values(image, path)
        ignored = _ignored(values)
        ground, warnings = _background(image, values) if background == AUTO else (background, ())
        labels = _labels(values[~ignored], ground, path)
        if background == AUTO and ground == 0 and image.mode != "P":
            warnings = (*warnings, *_dense_warning(values, ignored))
        masks = np.stack([values == label for label in labels]) if labels else np.zeros((0, *values.shape), bool)
        problem = None
        if not labels and ignored.any():
            problem = (
                f"mask {printable(path)} holds nothing but background and {some(np.unique(values[ignored]))}, which "
                "label maps ignore, so nothing is refined; for a binary mask give dataset.label_maps=false"
            )
        return MaskFile(masks, labels, None if ground is None else int(ground), ignored, warnings, problem)


def _in_colors(image: Image.Image, path: Path, background: int | str | None, palette: ColorTable) -> MaskFile:
    """The labels of an RGB file; none of them is ignored, and what shows black is the background."""
    values = _color_labels(image, path, palette)
    ground = palette.background if background == AUTO else background
    labels = _labels(values, ground, path)
    masks = np.stack([values == label for label in labels]) if labels else np.zeros((0, *values.shape), bool)
    ignored = np.zeros(values.shape, bool)
    return MaskFile(masks, labels, None if ground is None else int(ground), ignored)


def _color_labels(image: Image.Image, path: Path, palette: ColorTable) -> Values:
    """H x W labels of an opened RGB file."""
    demand_lossless(image, path)
    demand_one_page(image, path)
    if image.mode == "RGBA" and np.asarray(image.getchannel("A")).min(initial=255) < 255:
        raise InputError(f"mask {printable(path)} is partly transparent; expected an opaque RGB image")
    return palette.labels(np.asarray(image.convert("RGB")), path)


def write_binary_like(source: Path, target: Path, mask: BoolArray, threshold: float | None = None) -> None:
    """Writes an H x W bool mask with the mode, values, file format and metadata of the mask file `source`."""
    with opened(source, "mask") as image:
        stored = decode_binary(image, source, threshold).levels.stored(mask)
        style = Style.of(image)
    # Outside the block, whose errors are those of reading the source.
    style.save(target, stored)


def write_labels_like(
    source: Path,
    target: Path,
    paint: Callable[[Values], None],
    background: int | None = 0,
    palette: ColorTable | None = None,
) -> None:
    """Writes a label map with the mode, palette, file format and metadata of `source`; its ignored pixels stay.

    Args:
        source: the coarse label map.
        target: where to write.
        paint: fills H x W integers with labels.
        background: what they hold before; None: the coarse labels.
        palette: by which an RGB file was read.
    """
    with opened(source, "mask") as image:
        in_colors = palette is not None and image.mode in ("RGB", "RGBA")
        before = _color_labels(image, source, palette) if in_colors and palette else mask_values(image, source)
        after: Values = before.copy() if background is None else np.full_like(before, background)
        paint(after)
        ignored = _ignored(before)
        after[ignored] = before[ignored]
        style = Style.of(image)
    if in_colors and palette is not None:
        painted = palette.painted(after)
        opaque = np.full((*after.shape, 1), 255, np.uint8)
        style.save(target, np.concatenate([painted, opaque], axis=-1) if style.mode == "RGBA" else painted)
        return
    style.save(target, _in_channels(after, style.mode))


def _is_label_map(image: Image.Image) -> bool:
    if image.mode != "P":
        return False
    colors, found = palette_colors(image), set(np.unique(np.asarray(image)).tolist())
    listed = colors[: max(len(image.getpalette() or []) // 3, 1), :3]
    if found <= {0, 1} or ((listed[:, :1] == listed[:, 1:]).all() and len(np.unique(listed)) > 1):
        return False
    return not (found <= {0, IGNORE} and colors[IGNORE, :3].tolist() == _WHITE)


def _background(image: Image.Image, values: Values) -> tuple[int | None, tuple[str, ...]]:
    """The background of a label map, and a warning where the palette does not say which it is."""
    if image.mode != "P":
        return 0, ()
    colors = palette_colors(image)
    black = [index for index in np.unique(values).tolist() if index != IGNORE and not colors[index, :3].any()]
    if not colors[0, :3].any():
        return 0, ()
    if len(black) == 1:
        return black[0], ()
    return None, (NO_BLACK,)


def _dense_warning(values: Values, ignored: BoolArray) -> tuple[str, ...]:
    """A warning where labels border on labels rather than on 0, as they do where 0 is a class."""
    bordering = apart = 0
    for first, second in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        a, b = values[first], values[second]
        border = (a != b) & ~ignored[first] & ~ignored[second]
        bordering += int((border & (a != 0) & (b != 0)).sum())
        apart += int((border & ((a == 0) | (b == 0))).sum())
    return (DENSE,) if bordering > DENSE_SHARE * (bordering + apart) else ()


def _labels(values: Values, background: int | str | None, path: Path) -> tuple[int, ...]:
    labels = tuple(int(label) for label in np.unique(values) if label != background)
    if len(labels) > MAX_LABELS:
        raise InputError(
            f"{printable(path)} holds {len(labels)} different values; "
            f"expected a label map of at most {MAX_LABELS} labels"
        )
    return labels


def _ignored(values: Values) -> BoolArray:
    # Labels of colors are never negative, and 255 of them is one like others.
    if values.dtype.itemsize > 1:
        return np.asarray(values < 0)
    return np.asarray(values == IGNORE)


def _in_channels(values: Values, mode: str) -> Values:
    """Gray values repeated in the channels of a mode."""
    opaque = np.full_like(values, 255)
    channels = {"LA": [values, opaque], "RGB": [values] * 3, "RGBA": [values] * 3 + [opaque]}
    return np.stack(channels[mode], axis=-1) if mode in channels else values
