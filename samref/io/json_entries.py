"""Lists in JSON files whose entries stay in the file: a place an entry is in memory, and what is read is forgotten."""

from __future__ import annotations

import json
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from samref.errors import DatasetError
from samref.io.json_stream import UTF8_MARKED, encoding_of, read_elements
from samref.io.manifest import Stamp


class Entries(Sequence[Any]):
    """The entries of a list, in its order; each is parsed whenever it is read."""

    def __init__(self, path: Path, stamp: Stamp | None) -> None:
        """Starts with none.

        Args:
            path: of the file.
            stamp: of the file as it was when their places were found.
        """
        self.path, self._stamp = path, stamp
        self._starts, self._sizes = array("q"), array("q")

    def add(self, start: int, end: int) -> None:
        """Adds an entry by its first byte in the file and the one behind its last."""
        self._starts.append(start)
        self._sizes.append(end - start)

    def at(self, numbers: Iterable[int]) -> list[Any]:
        """Several entries at once, which is faster than one by one.

        Args:
            numbers: theirs, from 0.

        Raises:
            DatasetError: if the file has changed since.
        """
        return list(self._read(numbers))

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Any]:
        return self._read(range(len(self)))

    def __getitem__(self, number: int | slice) -> Any:
        if isinstance(number, slice):
            return self.at(range(len(self))[number])
        return self.at([range(len(self))[number]])[0]

    def _read(self, numbers: Iterable[int]) -> Iterator[Any]:
        try:
            with self.path.open("rb") as file:
                yield from self._parsed(file, numbers)
        except (OSError, ValueError) as error:
            raise DatasetError(f"{self.path} cannot be read any more ({error}); run the same command again") from None

    def _parsed(self, file: BinaryIO, numbers: Iterable[int]) -> Iterator[Any]:
        if Stamp.of(self.path) != self._stamp:
            raise DatasetError(f"{self.path} has changed since it was opened; run the same command again")
        for number in numbers:
            file.seek(self._starts[number])
            yield json.loads(file.read(self._sizes[number]))


def read_listed(path: Path, lists: Collection[str]) -> Any:
    """The content of a JSON file, with `Entries` in place of a list, or of some lists of an object.

    Args:
        path: of the file.
        lists: keys of the object.

    Returns:
        `Entries`, or a dict; None where the file is neither a list nor an object in UTF-8, or is no JSON.
    """
    stamp = Stamp.of(path)
    content: Any = {}
    entries = Entries(path, stamp)
    try:
        if encoding_of(path) not in ("utf-8", UTF8_MARKED):
            return None
        for element in read_elements(path, lists):
            if element.kind == "entry":
                entries.add(*element.place)
            elif element.kind == "value":
                content[element.key] = element.value
            elif element.key is None:
                content = entries
            else:
                content[element.key] = entries = Entries(path, stamp)
    except (OSError, DatasetError):
        return None
    return content
