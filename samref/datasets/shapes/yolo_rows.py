"""The rows of a YOLO label file: polygons are read and written, everything else stays as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samref.datasets.shapes.shapes import NewShape
from samref.errors import InputError
from samref.geometry.polygons import Ring
from samref.io.coco_masks import decode
from samref.io.images import printable
from samref.structures import BoolArray

# class and three points; shorter rows are boxes, with or without confidence.
SHORTEST = 7
# Ultralytics takes fractions that are a little too large for rounding.
LARGEST = 1.01
DECIMALS = 8
MARK = "\ufeff"


@dataclass(frozen=True)
class YoloPage:
    """The rows of one label file.

    Attributes:
        rows: with their line ends.
        mark: the byte order mark in front of them, or nothing.
        size: None, for fractions fit images of any size.
    """

    rows: tuple[str, ...]
    mark: str = ""
    size: None = None

    @property
    def objects(self) -> Mapping[str | int, Sequence[int]]:
        """See `Page`: numbers of the rows that hold a polygon, from 1."""
        return {place + 1: (place,) for place, row in enumerate(self.rows) if len(row.split()) >= SHORTEST}

    def decode(self, place: int, size: tuple[int, int]) -> BoolArray:
        """See `Page`."""
        values, _ = _numbers(self.rows[place])
        points = _pixels(np.clip(np.array(values).reshape(-1, 2), 0, 1), size)
        return decode([points.reshape(-1).tolist()], size)

    def outlined(self, place: int) -> bool:
        """See `Page`."""
        return True

    def rounded(self, ring: Ring, size: tuple[int, int]) -> Ring:
        """See `Page`."""
        return _pixels(np.array(_fractions(ring, size), dtype=np.float64).reshape(-1, 2), size)

    def text(self, shapes: Mapping[int, NewShape], size: tuple[int, int]) -> bytes:
        """The file's content with other polygons.

        Args:
            shapes: polygons by row, N x 2 points in image px.
            size: (H, W) of the image.

        Returns:
            The rows; those without another polygon as they were.
        """
        rows = (_written(row, shapes.get(place), size) for place, row in enumerate(self.rows))
        return (self.mark + "".join(rows)).encode()


def read_rows(path: Path) -> YoloPage:
    """Reads a label file.

    Raises:
        InputError: if it is no text, or nothing is left in it.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"labels {printable(path)} cannot be read ({error}); expected rows of numbers") from None
    if not text:
        raise InputError(f"labels {printable(path)} are empty by now; run the same command again")
    mark = MARK if text.startswith(MARK) else ""
    return YoloPage(tuple(text[len(mark) :].splitlines(keepends=True)), mark)


def _numbers(row: str) -> tuple[list[float], str]:
    """The coordinates of a row, and the confidence behind them, as it is written."""
    words = row.split()[1:]
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise InputError(f"the row holds {row.split()[:4]} ..., which are no numbers") from None
    confidence = words[-1] if len(words) % 2 else ""
    values = values[: len(values) - bool(confidence)]
    if not all(math.isfinite(value) for value in values):
        raise InputError("the row holds numbers that are not finite")
    low, high = min(values), max(values)
    if low < -(LARGEST - 1) or high > LARGEST:
        raise InputError(
            f"the row has coordinates from {low:g} to {high:g}; expected fractions of width and height, 0 to 1"
            + (": divide x by the image's width and y by its height" if high > 2 else "")
        )
    return values, confidence


def _written(row: str, ring: NewShape, size: tuple[int, int]) -> str:
    if ring is None:
        return row
    _, confidence = _numbers(row)
    end = row[len(row.rstrip("\r\n")) :]
    return (
        " ".join([row.split()[0], *_fractions(ring.astype(np.float64), size), *([confidence] if confidence else [])])
        + end
    )


def _fractions(ring: Ring, size: tuple[int, int]) -> list[str]:
    values = (ring / np.array(size[::-1])).reshape(-1).tolist()
    return [f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".") for value in values]


def _pixels(fractions: Ring, size: tuple[int, int]) -> Ring:
    return np.asarray(fractions * np.array(size[::-1]))
