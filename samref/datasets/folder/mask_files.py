"""Mask files of any encoding: read as one or several masks, written back as they came."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from samref.errors import InputError
from samref.io.atomic import atomic_path
from samref.io.images import binarize, mask_values, opened, printable
from samref.structures import BoolArray

IGNORE = 255
MAX_LABELS = 4096
_WHITE = [255, 255, 255]
# Where TIFF keeps the pixels, which the writer decides itself; everything else (resolution, place on earth) is kept.
_TIFF_LAYOUT = frozenset({254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 284, 292, 293, 317}) | {
    *range(320, 326), 338, 339, 347, 530, 531, 532,
}  # fmt: skip

Values = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class MaskFile:
    """What a mask file holds.

    Attributes:
        masks: N x H x W bool: one mask, or one of each label that occurs.
        labels: their labels; None for a binary mask.
    """

    masks: BoolArray
    labels: tuple[int, ...] | None

    @property
    def objects(self) -> tuple[int | None, ...]:
        """One a mask: its label, or None for the mask of a binary file."""
        return (None,) if self.labels is None else self.labels


def read_mask_file(path: Path, label_maps: bool | None = None, threshold: int | None = None) -> MaskFile:
    """Reads a binary mask or a label map.

    Args:
        path: an image file.
        label_maps: True: a label map; False: a binary mask. None decides by content: palette images with other values
            than two are label maps, where {0, 1} are two, and {0, 255} are if the palette shows 255 as white; all else
            is binary.
        threshold: makes binary masks of gray ones that hold more than two values.

    Returns:
        The masks. In a label map 0 is background; 255 in 8-bit files and negative values are pixels to be ignored.

    Raises:
        InputError: an unreadable file, or a gray one with more than two values without a rule how to read it.
    """
    with opened(path, "mask") as image:
        values = mask_values(image, path)
        if label_maps if label_maps is not None else _is_label_map(image, values):
            labels = _labels(values, path)
            masks = np.stack([values == label for label in labels]) if labels else np.zeros((0, *values.shape), bool)
            return MaskFile(masks, labels)
        return MaskFile(_binary(values, path, threshold, image.format)[None], None)


def write_binary_like(source: Path, target: Path, mask: BoolArray) -> None:
    """Writes an H x W bool mask with the mode, values, file format and metadata of the mask file `source`."""
    with opened(source, "mask") as image:
        values = mask_values(image, source)
        top = int(values.max(initial=0)) if _has_two_values(values) else np.iinfo(_width(image)).max
    # Outside the block, whose errors are those of reading the source.
    _save_like(image, target, (mask * (top or 1)).astype(values.dtype))


def write_labels_like(source: Path, target: Path, paint: Callable[[Values], None]) -> None:
    """Writes a label map with the mode, palette, file format and metadata of `source`; its ignored pixels stay.

    Args:
        source: the coarse label map.
        target: where to write.
        paint: fills a background of zeros, H x W integers, with labels.
    """
    with opened(source, "mask") as image:
        before = mask_values(image, source)
        after: Values = np.zeros_like(before)
        paint(after)
        ignored = _ignored(before)
        after[ignored] = before[ignored]
    _save_like(image, target, after)


def copy_file(source: Path, target: Path) -> None:
    """Copies a mask that did not change, byte by byte, so that nothing of it can change."""
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _is_label_map(image: Image.Image, values: Values) -> bool:
    if image.mode != "P":
        return False
    found = set(np.unique(values).tolist())
    if found <= {0, 1}:
        return False
    return not (found <= {0, 255} and (image.getpalette() or [])[3 * IGNORE :] == _WHITE)


def _has_two_values(values: Values) -> bool:
    return set(np.unique(values).tolist()) <= {0, int(values.max(initial=0))}


def _binary(values: Values, path: Path, threshold: int | None, file_format: str | None) -> BoolArray:
    try:
        return binarize(values, path, None, lossy=file_format == "JPEG")
    except InputError:
        if threshold is None:
            raise
        return binarize(values, path, threshold)


def _labels(values: Values, path: Path) -> tuple[int, ...]:
    labels = tuple(int(label) for label in np.unique(values[~_ignored(values)]) if label != 0)
    if len(labels) > MAX_LABELS:
        raise InputError(
            f"{printable(path)} holds {len(labels)} different values; "
            f"expected a label map of at most {MAX_LABELS} labels"
        )
    return labels


def _ignored(values: Values) -> BoolArray:
    if values.dtype.itemsize > 1:
        return np.asarray(values < 0)
    return np.asarray(values == IGNORE)


def _width(image: Image.Image) -> type[np.integer[Any]]:
    return np.uint16 if image.mode.startswith("I") else np.uint8


def _save_like(source: Image.Image, target: Path, values: Values) -> None:
    image = _in_mode(values, source)
    options: dict[str, Any] = {
        key: source.info[key] for key in ("dpi", "icc_profile", "exif", "transparency") if key in source.info
    }
    file_format = "JPEG" if source.format == "MPO" else source.format
    if file_format == "PNG":
        options["pnginfo"] = _png_text(source)
    elif file_format == "TIFF":
        options = {"tiffinfo": _tiff_tags(source), "compression": source.info.get("compression")}
    elif file_format == "JPEG":
        options |= {"quality": 95, "subsampling": 0}
    elif file_format == "WEBP":
        options |= {"lossless": True}
    with atomic_path(target) as temporary:
        image.save(temporary, format=file_format, **options)


def _in_mode(values: Values, source: Image.Image) -> Image.Image:
    mode = source.mode
    if mode == "1":
        return Image.fromarray(values > 0)
    if mode == "F":
        return Image.fromarray(values.astype(np.float32))
    if mode.startswith("I"):
        return Image.fromarray(values.astype(np.int32 if mode == "I" else np.uint16))
    gray = values.astype(np.uint8)
    if mode == "P":
        image = Image.fromarray(gray)
        image.putpalette(source.getpalette() or [])
        return image
    opaque = np.full_like(gray, 255)
    channels = {"L": [gray], "LA": [gray, opaque], "RGB": [gray] * 3, "RGBA": [gray] * 3 + [opaque]}
    if mode not in channels:
        raise InputError(f"masks of mode {mode} cannot be written; expected gray, palette or RGB")
    return Image.merge(mode, [Image.fromarray(channel) for channel in channels[mode]])


def _png_text(source: Image.Image) -> PngInfo:
    chunks = PngInfo()
    for key, value in getattr(source, "text", {}).items():
        chunks.add_itxt(key, value) if not value.isascii() else chunks.add_text(key, value)
    return chunks


def _tiff_tags(source: Image.Image) -> Any:
    tags = source.tag_v2.__class__()  # type: ignore[attr-defined]
    for tag, value in source.tag_v2.items():  # type: ignore[attr-defined]
        if tag not in _TIFF_LAYOUT:
            tags[tag] = value
            tags.tagtype[tag] = source.tag_v2.tagtype[tag]  # type: ignore[attr-defined]
    return tags
