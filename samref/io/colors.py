"""Label maps in colors: RGB files whose colors stand for labels, by a table of colors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from samref.errors import ConfigError, InputError
from samref.io.images import printable

VOC = "voc"
EXPECTED = (
    "voc, a list of [red, green, blue] by label, or a file: a palette image, lines of 'red green blue name', or json "
    "with such a list or with names and colors"
)
_SHOWN = 3


@dataclass(frozen=True)
class ColorTable:
    """Which color stands for which label.

    Attributes:
        colors: K x 3 uint8 RGB; the row is the label.
    """

    colors: npt.NDArray[np.uint8]

    def labels(self, rgb: npt.NDArray[np.uint8], path: Path) -> npt.NDArray[np.int32]:
        """H x W labels of an H x W x 3 picture.

        Raises:
            InputError: for colors that the table lacks.
        """
        table = np.full(1 << 24, -1, np.int32)
        # Of two labels of one color the first counts.
        table[_codes(self.colors)[::-1]] = np.arange(len(self.colors))[::-1]
        found = table[_codes(rgb)]
        if (found < 0).any():
            strange = np.unique(rgb[found < 0], axis=0)
            listed = ", ".join(str(tuple(color)) for color in strange[:_SHOWN].tolist())
            raise InputError(
                f"mask {printable(path)} holds {len(strange)} colors that dataset.palette lacks, as {listed}; expected "
                f"its {len(self.colors)} colors alone"
            )
        return found

    def painted(self, labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """The H x W x 3 picture of H x W labels."""
        return np.asarray(self.colors[labels])

    @property
    def background(self) -> int | None:
        """The label that shows black, or None."""
        black = np.flatnonzero((self.colors == 0).all(axis=1))
        return int(black[0]) if len(black) else None


def color_table(given: str | Path | Sequence[Sequence[int]] | None) -> ColorTable | None:
    """The table that an option names.

    Args:
        given: see `EXPECTED`; None: no table.

    Raises:
        ConfigError: for anything else.
    """
    if given is None:
        return None
    try:
        if isinstance(given, (str, Path)):
            return _named(str(given))
        return _table(given)
    except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        reason = " ".join(str(error).split())[:80]
        raise ConfigError(
            f"dataset.palette={str(given)[:60]} is no table of colors ({reason}); expected {EXPECTED}"
        ) from None


def voc_colors() -> npt.NDArray[np.uint8]:
    """VOC's 256 colors, 256 x 3: the bits of an index, three at a time, are the color's highest bits."""
    index = np.arange(256)
    bits = [sum(((index >> (3 * place + channel)) & 1) << (7 - place) for place in range(8)) for channel in range(3)]
    return np.stack(bits, axis=1).astype(np.uint8)


def _named(name: str) -> ColorTable:
    if name == VOC:
        return ColorTable(voc_colors())
    path = Path(name).expanduser()
    if path.suffix == ".json":
        content = json.loads(path.read_bytes())
        entries = content if isinstance(content, list) else [{"name": key, "color": v} for key, v in content.items()]
        return _table([entry["color"] if isinstance(entry, Mapping) else entry for entry in entries])
    if path.suffix in (".txt", ".csv"):
        lines = [line.replace(",", " ").split() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        # Some name the label first, and CVAT's `labelmap.txt` has `name:r,g,b:parts:actions`.
        return _table([_numbers(words) for words in lines if words and not words[0].startswith("#")])
    with Image.open(path) as image:
        palette = image.getpalette("RGB")
    if palette is None:
        raise ValueError("the image has no palette")
    return _table(np.array(palette).reshape(-1, 3).tolist())


def _numbers(words: Sequence[str]) -> list[int]:
    found = [int(word) for piece in words for word in piece.split(":") if word.isdigit()]
    if len(found) < 3:
        raise ValueError(f"the line '{' '.join(words)}' names no color")
    return found[:3]


def _table(colors: Any) -> ColorTable:
    table = np.array(colors)
    if (
        table.ndim != 2
        or table.shape[1] != 3
        or table.dtype.kind not in "iu"
        or not ((table >= 0) & (table < 256)).all()
    ):
        raise ValueError("a color is three whole numbers of 0 to 255")
    return ColorTable(table.astype(np.uint8))


def _codes(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    wide = rgb.astype(np.int64)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
