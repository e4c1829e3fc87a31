"""JSON files of any length, read and written one element at a time.

The parser is that of `json.load`, so that what comes through is what reading the file as one gives.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from samref.errors import DatasetError
from samref.io.atomic import atomic_path

CHUNK = 1 << 20  # characters
UTF8_MARKED = "utf-8-sig"
_SPACE = " \t\n\r"
_AFTER = {*_SPACE, ",", ":", "]", "}"}


class Element(NamedTuple):
    """A piece of a file.

    Attributes:
        kind: `value`: all of what stands under a key; `list`: a list begins; `entry`: one of the list's.
        key: of the outer object; None where the file is a list.
        value: None where a list begins.
        place: of an entry, its first byte in the file and the one behind its last; not where the file has two or four
            bytes a character.
    """

    kind: str
    key: str | None
    value: Any = None
    place: tuple[int, int] = (0, 0)


def read_elements(path: Path, lists: Collection[str]) -> Iterator[Element]:
    """The content of a file, in its order.

    Args:
        path: of a list, or of an object.
        lists: keys of the object whose lists come entry by entry.

    Raises:
        DatasetError: if it cannot be read or is not JSON.
    """
    try:
        encoding = encoding_of(path)
        # Ends of lines come as they are: where an entry lies is counted in bytes.
        with path.open(encoding=encoding, newline="") as text:
            yield from _Reader(text, len(codecs.BOM_UTF8) if encoding == UTF8_MARKED else 0).elements(lists)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); give another file") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not JSON ({error}); give another file") from None


def encoding_of(path: Path) -> str:
    """How a JSON file is encoded, as its first bytes show.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        return json.detect_encoding(file.read(4))


class ElementWriter:
    """Writes what `json.dump` writes of the same content."""

    def __init__(self, file: TextIO) -> None:
        """Takes a file that is open for text."""
        self.file = file
        self.entries = 0
        self._began, self._listing, self._empty, self._end = False, False, True, ""

    def write(self, element: Element) -> None:
        """Adds one element; those of a list stand one behind the other."""
        if element.kind == "entry":
            self.file.write(("" if self._empty else ", ") + json.dumps(element.value))
            self._empty = False
            self.entries += 1
            return
        self._close_list()
        if not self._began and element.key is not None:
            self.file.write("{")
            self._end = "}"
        elif self._began:
            self.file.write(", ")
        self._began = True
        name = "" if element.key is None else f"{json.dumps(element.key)}: "
        self._listing, self._empty = element.kind == "list", True
        self.file.write(name + ("[" if self._listing else json.dumps(element.value)))

    def close(self) -> None:
        """Ends the content, not the file."""
        self._close_list()
        self.file.write(self._end if self._began else "{}")

    def _close_list(self) -> None:
        if self._listing:
            self.file.write("]")
            self._listing = False


def write_elements(path: Path, elements: Iterable[Element]) -> None:
    """Writes a file atomically."""
    with atomic_path(path) as temporary, open_for(temporary) as file:
        writer = ElementWriter(file)
        for element in elements:
            writer.write(element)
        writer.close()


def open_for(path: Path) -> TextIO:
    """Opens a file for an `ElementWriter`; half of a surrogate pair, which JSON can hold, comes out as an escape."""
    return path.open("w", encoding="utf-8", errors="backslashreplace")


class _Reader:
    """Text that is read as far as it is needed."""

    def __init__(self, file: TextIO, start: int) -> None:
        self.file, self.text, self.place, self.ended = file, "", 0, False
        # Of the text, how much is counted in bytes, and what these come to with all before it.
        self.counted, self.bytes = 0, start
        self.decoder = json.JSONDecoder()

    def elements(self, lists: Collection[str]) -> Iterator[Element]:
        if self.taken("["):
            yield from self.entries(None)
        elif self.taken("{"):
            yield from self.members(lists)
        else:
            raise ValueError("neither a list nor an object")
        if self.next():
            raise ValueError("something follows its end")

    def members(self, lists: Collection[str]) -> Iterator[Element]:
        first = True
        while not self.taken("}"):
            if not first:
                self.expect(",")
            first = False
            key = self.value()
            self.expect(":")
            if key in lists and self.taken("["):
                yield from self.entries(key)
            else:
                yield Element("value", key, self.value())

    def entries(self, key: str | None) -> Iterator[Element]:
        yield Element("list", key)
        first = True
        while not self.taken("]"):
            if not first:
                self.expect(",")
            first = False
            self.next()
            start = self.offset()
            value = self.value()
            yield Element("entry", key, value, (start, self.offset()))

    def value(self) -> Any:
        self.next()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.place)
            except json.JSONDecodeError:
                if self.ended:
                    raise
            else:
                # A number that nothing ends, such as the 1 of 1.5, may go on.
                if self.text[end : end + 1] in _AFTER or self.ended:
                    self.place = end
                    return value
            self.read()

    def next(self) -> str:
        """The next character that is not white; empty at the end."""
        while True:
            while self.place < len(self.text) and self.text[self.place] in _SPACE:
                self.place += 1
            if self.place < len(self.text) or self.ended:
                return self.text[self.place : self.place + 1]
            self.read()

    def taken(self, character: str) -> bool:
        found = self.next() == character
        self.place += found
        return found

    def expect(self, character: str) -> None:
        if not self.taken(character):
            raise ValueError(f"expected {character!r}, found {self.next()!r}")

    def offset(self) -> int:
        """Bytes of the file before the place, in UTF-8."""
        self.bytes += len(self.text[self.counted : self.place].encode("utf-8", "surrogatepass"))
        self.counted = self.place
        return self.bytes

    def read(self) -> None:
        self.offset()
        # What waits is doubled, so that a value longer than a chunk is not parsed once for each of its chunks.
        more = self.file.read(max(CHUNK, len(self.text) - self.place))
        self.text, self.place, self.counted, self.ended = self.text[self.place :] + more, 0, 0, not more
