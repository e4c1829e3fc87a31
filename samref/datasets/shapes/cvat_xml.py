"""CVAT's xml "for images 1.1": shapes with their places in the file, in which they alone are replaced."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape

from samref.errors import DatasetError
from samref.io.images import printable

EXPECTED = "an xml file of the format 'CVAT for images 1.1'"
SHAPES = ("polygon", "mask")
_TAG = re.compile(rb"<[^\s/>]+(?:\s+[^\s=/>]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*/?>")


@dataclass(frozen=True)
class XmlShape:
    """A polygon or mask.

    Attributes:
        tag: name of the element.
        attributes: of the element; what it holds inside stays as it is.
        start: byte at which it starts.
        inside: byte behind its start tag.
        end: byte behind it.
    """

    tag: str
    attributes: Mapping[str, str]
    start: int
    inside: int
    end: int


@dataclass(frozen=True)
class XmlImage:
    """An image.

    Attributes:
        attributes: of the element: `id`, `name`, `width`, `height`.
        shapes: its polygons and masks, in the file's order.
    """

    attributes: Mapping[str, str]
    shapes: tuple[XmlShape, ...]


def read_images(path: Path) -> tuple[bytes, list[XmlImage]]:
    """The bytes of a file, and its images.

    Args:
        path: of the xml file.

    Raises:
        DatasetError: if it is no such file.
    """
    try:
        raw = path.read_bytes()
        raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{printable(path)} cannot be read ({error}); expected {EXPECTED}") from None
    reader = _Reader(raw)
    try:
        reader.run()
    except expat.ExpatError as error:
        raise DatasetError(f"{printable(path)} is no xml ({error}); expected {EXPECTED}") from None
    if reader.root != "annotations" or not reader.images:
        held = "tracks, as for video; export it for images" if reader.tracks else f"no image in <{reader.root}>"
        raise DatasetError(f"{printable(path)} holds {held}; expected {EXPECTED}")
    return raw, reader.images


def replaced(raw: bytes, shapes: Iterable[tuple[XmlShape, Mapping[str, str] | None]]) -> bytes:
    """A file's bytes with other attributes of some shapes; all other bytes are as they were.

    Args:
        raw: the file's bytes.
        shapes: of that file, each with the attributes that change, or None to take it away.
    """
    pieces, done = [], 0
    for shape, attributes in sorted(shapes, key=lambda pair: pair[0].start):
        before = raw[done : shape.start]
        if attributes is None:
            pieces.append(before.rstrip())
            done = shape.end
        else:
            tag = raw[shape.start : shape.inside]
            for name, value in attributes.items():
                tag = _with_attribute(tag, name, value)
            pieces += [before, tag]
            done = shape.inside
    return b"".join([*pieces, raw[done:]])


class _Reader:
    """Reads images and shapes with the bytes at which they stand."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.images, self.root, self.tracks = raw, list[XmlImage](), "", 0
        self._image: Mapping[str, str] | None = None
        self._shapes: list[XmlShape] = []
        self._open: list[tuple[str, Mapping[str, str], int, int]] = []
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse

    def run(self) -> None:
        self._parser.Parse(self.raw, True)

    def _refuse(self, *arguments: Any) -> None:
        raise DatasetError(f"the xml file declares a document type, which is not read; expected {EXPECTED}")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        at = self._parser.CurrentByteIndex
        tag = _TAG.match(self.raw, at)
        self._open.append((name, attributes, at, tag.end() if tag else at))
        self.root = self.root or name
        self.tracks += name == "track"
        if name == "image":
            self._image, self._shapes = attributes, []

    def _end(self, name: str) -> None:
        _, attributes, start, inside = self._open.pop()
        closed = self.raw[start:inside].endswith(b"/>")
        end = inside if closed else self.raw.index(b">", self._parser.CurrentByteIndex) + 1
        if name == "image" and self._image is not None:
            self.images.append(XmlImage(self._image, tuple(self._shapes)))
            self._image = None
        elif self._image is not None and name in SHAPES:
            self._shapes.append(XmlShape(name, attributes, start, inside, end))


def _with_attribute(tag: bytes, name: str, value: str) -> bytes:
    text = escape(value, {'"': "&quot;"}).encode()
    pattern = re.compile(rb"(\s" + re.escape(name.encode()) + rb"\s*=\s*)(\"[^\"]*\"|'[^']*')")
    return pattern.sub(lambda found: found[1] + b'"' + text + b'"', tag, count=1)


def unique_names(images: Sequence[XmlImage]) -> list[str]:
    """Names of the images; of one that is there twice with its number, from 1."""
    names = [image.attributes.get("name", "") for image in images]
    counts = Counter(names)
    return [f"{name}#{number}" if counts[name] > 1 else name for number, name in enumerate(names, 1)]
