"""How an image file stores its values: what is written in its place looks alike to whoever reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from samref.errors import InputError
from samref.io.atomic import atomic_path, write_png

Values = npt.NDArray[np.integer[Any]]

# Where TIFF keeps the pixels, which the writer decides itself; everything else (resolution, place on earth) is kept.
_TIFF_LAYOUT = frozenset({254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 284, 292, 293, 317}) | {
    *range(320, 326), 338, 339, 347, 530, 531, 532,
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """What is kept of a file beside its pixels.

    Attributes:
        file_format: Pillow's name of it.
        mode: Pillow's name of the kind of pixels.
        palette: colors, or None.
        options: of Pillow's writer: resolution, color profile, comments and the like.
    """

    file_format: str | None
    mode: str
    palette: list[int] | None
    options: dict[str, Any]

    @classmethod
    def of(cls, image: Image.Image) -> Style:
        """The style of an opened and loaded file."""
        options: dict[str, Any] = {
            key: image.info[key] for key in ("dpi", "icc_profile", "exif", "transparency") if key in image.info
        }
        file_format = "JPEG" if image.format == "MPO" else image.format
        if file_format == "PNG":
            options |= _png_text(image)
        elif file_format == "TIFF":
            options = {"tiffinfo": _tiff_tags(image), "compression": image.info.get("compression")}
        elif file_format == "JPEG":
            options |= {"quality": 95, "subsampling": 0}
        elif file_format == "WEBP":
            options |= {"lossless": True}
        return cls(file_format, image.mode, image.getpalette() if image.mode == "P" else None, options)

    def save(self, target: Path, values: Values) -> None:
        """Writes H x W (x channels) values atomically.

        Args:
            target: where to.
            values: of the kind that the file held.

        Raises:
            InputError: for a mode that is not written.
        """
        if self.file_format == "PNG" and self.mode == "L" and not self.options:
            # The plain case, which nearly every mask is, in a third of Pillow's time.
            write_png(target, np.ascontiguousarray(values, dtype=np.uint8))
            return
        image = self._image(values)
        with atomic_path(target) as temporary:
            image.save(temporary, format=self.file_format, **self.options)

    def _image(self, stored: Values) -> Image.Image:
        mode = self.mode
        if mode == "1":
            return Image.fromarray(stored > 0)
        if mode == "F":
            return Image.fromarray(stored.astype(np.float32))
        if mode.startswith("I"):
            return Image.fromarray(stored.astype(np.int32 if mode == "I" else np.uint16))
        if mode not in ("L", "P", "LA", "RGB", "RGBA"):
            raise InputError(f"masks of mode {mode} cannot be written; expected gray, palette or RGB")
        image = Image.fromarray(stored.astype(np.uint8))
        if mode == "P":
            image.putpalette(self.palette or [])
        return image


def _png_text(source: Image.Image) -> dict[str, PngInfo]:
    chunks = PngInfo()
    for key, value in getattr(source, "text", {}).items():
        chunks.add_itxt(key, value) if not value.isascii() else chunks.add_text(key, value)
    return {"pnginfo": chunks} if chunks.chunks else {}


def _tiff_tags(source: Image.Image) -> Any:
    tags = source.tag_v2.__class__()  # type: ignore[attr-defined]
    for tag, value in source.tag_v2.items():  # type: ignore[attr-defined]
        if tag not in _TIFF_LAYOUT:
            tags[tag] = value
            tags.tagtype[tag] = source.tag_v2.tagtype[tag]  # type: ignore[attr-defined]
    return tags
