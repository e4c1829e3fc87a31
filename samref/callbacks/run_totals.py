"""The statistics of a whole run, in memory that hardly grows with its masks."""

from __future__ import annotations

import csv
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from samref.callbacks.run_statistics import Row, RunStatistics
from samref.io.atomic import atomic_path
from samref.structures import Failure

NO_ROWS = ("image", "object", "flag")


class SampleTable:
    """The rows of the table of samples, packed image by image: as objects of Python they are a hundred times larger."""

    def __init__(self) -> None:
        """Starts empty."""
        self._packed: dict[str, list[bytes]] = defaultdict(list)
        # The first row, in the table's order, that has just these columns.
        self._first: dict[tuple[str, ...], tuple[str, str]] = {}

    def add(self, rows: list[Row]) -> None:
        """Adds the rows of one image."""
        if not rows:
            return
        self._packed[str(rows[0]["image"])].append(zlib.compress(json.dumps(rows).encode(), 1))
        for row in rows:
            columns, place = tuple(row), (str(row["image"]), str(row["object"]))
            self._first[columns] = min(place, self._first.get(columns, place))

    def merge(self, other: SampleTable) -> None:
        """Adds the rows of another table."""
        for image, parts in other._packed.items():
            self._packed[image] += parts
        for columns, place in other._first.items():
            self._first[columns] = min(place, self._first.get(columns, place))

    def __iter__(self) -> Iterator[Row]:
        """The rows in the order of their images and objects, read as text."""
        for image in sorted(self._packed):
            rows = [row for part in self._packed[image] for row in json.loads(zlib.decompress(part))]
            yield from sorted(rows, key=lambda row: str(row["object"]))

    def write(self, path: Path) -> None:
        """Writes a CSV with a header, atomically; a column that a row lacks stays empty."""
        ordered = sorted(self._first, key=lambda columns: self._first[columns])
        names = list(dict.fromkeys(name for columns in ordered for name in columns)) or NO_ROWS
        # Half characters, which ids of JSON can hold, come out as escapes.
        with (
            atomic_path(path) as temporary,
            temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            table = csv.DictWriter(file, names, lineterminator="\n")
            table.writeheader()
            table.writerows(self)


@dataclass
class RunTotals:
    """Of one process, or of a run: totals add up.

    Attributes:
        table: rows of all masks.
        failures: masks and images that could not be refined.
        warnings: pairs of an image's id and a sentence.
        images: how many.
        flags: masks by their flag.
        seconds: by stage.
        origins: masks by the refiner that they are from, where several were tried.
        overlapping: masks that gave pixels up to others of their file.
        overlap: these pixels.
    """

    table: SampleTable = field(default_factory=SampleTable)
    failures: list[Failure] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    images: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    overlapping: int = 0
    overlap: int = 0

    def add(self, image: RunStatistics) -> None:
        """Adds one image."""
        self.table.add(image.rows)
        self.failures += image.failures
        self.warnings += image.warnings
        self.images += image.images
        self.flags.update(image.flags)
        self.seconds.update(image.seconds)
        self.origins.update(row["origin"] for row in image.rows if row.get("origin"))
        overlaps = [row["overlap"] for row in image.rows if row.get("overlap")]
        self.overlapping, self.overlap = self.overlapping + len(overlaps), self.overlap + sum(overlaps)

    def merge(self, other: RunTotals) -> None:
        """Adds those of another process."""
        self.table.merge(other.table)
        self.failures += other.failures
        self.warnings += other.warnings
        self.images += other.images
        for name in ("flags", "seconds", "origins"):
            getattr(self, name).update(getattr(other, name))
        self.overlapping, self.overlap = self.overlapping + other.overlapping, self.overlap + other.overlap
