"""Image files in folders, found by the names that other files give them; what is not certain is not found."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from samref.io.images import IMAGE_SUFFIXES, printable

Parts = tuple[str, ...]

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*|[A-Za-z]:(?=[/\\])")
# Folders beside those of images, whose files often have the images' names.
_OTHERS = frozenset(
    {"mask", "masks", "label", "labels", "annotations", "gt", "truth", "seg", "segmentation", "segmentationclass",
     "segmentationobject", "out", "output", "outputs", "pred", "preds", "predictions", "results"}
)  # fmt: skip
_SHOWN = 3


@dataclass(frozen=True)
class Located:
    """Where images are.

    Attributes:
        paths: of those that were found.
        missing: of the others, why not.
    """

    paths: dict[Any, Path] = field(default_factory=dict)
    missing: dict[Any, str] = field(default_factory=dict)


class ImageFolder:
    r"""Finds images by name in a folder and in those inside it.

    A name may have folders in front that are not there (`images/a.png`, `C:\data\a.png`) or lack some that are
    (`a.png` for `train/a.png`), but of the two paths one must end with the other: `cam2/a.png` is not `cam1/a.png`,
    and `a_1.png` is not `1.png`. Where several files fit, none is taken. Names are compared in Unicode's composed form,
    and in lower case where nothing fits otherwise.
    """

    def __init__(self, folder: Path) -> None:
        """Reads nothing yet.

        Args:
            folder: of the images.
        """
        self.folder = folder
        self._listings: dict[str, frozenset[str]] = {}

    def find(self, name: str) -> Path | None:
        """The file of a name, or None."""
        found = self._files(name)
        return found[0] if len(found) == 1 else None

    def find_number(self, number: int) -> Path | None:
        """The file whose stem is a number (`000000000007.jpg` for 7), or None."""
        found = self._numbered(number)
        return found[0] if len(found) == 1 else None

    def locate(self, names: Mapping[Any, Sequence[str | int]]) -> Located:
        """The files of many images.

        A file is not given to two images of different names, unless one of the names is the file's own.

        Args:
            names: of each image, by what it is known by; the first name that is found counts. A number stands for a
                file whose stem is that number.
        """
        located = Located()
        owners: dict[Path, list[tuple[Any, str]]] = defaultdict(list)
        for key, options in names.items():
            for name in options:
                found = self._numbered(name) if isinstance(name, int) else self._files(name)
                if len(found) == 1:
                    owners[found[0]].append((key, str(name)))
                    break
                if found:
                    located.missing[key] = f"several files may be {name}: {_listed(found, self.folder)}"
                    break
            else:
                first = options[0] if options else "an image without a name"
                located.missing[key] = f"{first} is not in {printable(self.folder)}"
        for path, claims in owners.items():
            own = file_parts(path.relative_to(self.folder))
            different = {name_parts(name) for _, name in claims}
            for key, name in claims:
                if len(different) == 1 or name_parts(name) == own:
                    located.paths[key] = path
                else:
                    other = next(other for _, other in claims if name_parts(other) != name_parts(name))
                    located.missing[key] = (
                        f"{name} is not in {printable(self.folder)}; {printable(path.name)} there may be {other}"
                    )
        return located

    def _files(self, name: str) -> list[Path]:
        """All files that a name may mean."""
        if self._listed(name):
            return [self.folder / name]
        for spelling in dict.fromkeys((name, unquote(name))):
            parts = name_parts(spelling)
            if not parts:
                continue
            if os.path.splitext(parts[-1])[1].lower() in IMAGE_SUFFIXES:
                found = _fitting(parts, self._by_name)
            else:
                found = _fitting(parts, self._by_stem)
            if found:
                return [self.folder / path for path in found]
        return []

    def _listed(self, name: str) -> bool:
        # One listing of a folder of 118,000 images is far cheaper than a search of all that lies inside.
        root = os.path.abspath(self.folder)
        # Files of strangers must not have pictures from elsewhere on the disk read and shown.
        if not os.path.normpath(os.path.join(root, name)).startswith(os.path.join(root, "")):
            return False
        pure = PurePosixPath(name)
        parent = str(pure.parent)
        if parent not in self._listings:
            try:
                self._listings[parent] = frozenset(path.name for path in (self.folder / parent).iterdir())
            except (OSError, ValueError):  # not there, not to be read, or no name that a folder can have
                self._listings[parent] = frozenset()
        return pure.name in self._listings[parent]

    def _numbered(self, number: int) -> list[Path]:
        usual = f"{number:0>12}.jpg"
        if self._listed(usual):
            return [self.folder / usual]
        return [self.folder / path for path in self._by_number.get(number, ())]

    @cached_property
    def _tree(self) -> list[Path]:
        return list_images(self.folder)

    @cached_property
    def _by_name(self) -> dict[str, list[tuple[Parts, Path]]]:
        return _index((file_parts(path), path) for path in self._tree)

    @cached_property
    def _by_stem(self) -> dict[str, list[tuple[Parts, Path]]]:
        return _index((file_parts(path.with_suffix("")), path) for path in self._tree)

    @cached_property
    def _by_number(self) -> dict[int, list[Path]]:
        found: dict[int, list[Path]] = defaultdict(list)
        for path in self._tree:
            if is_number(path.stem):
                found[int(path.stem)].append(path)
        return found


def name_parts(name: str) -> Parts:
    r"""Folders and file name of a path of any system or of an address; what leads upwards and before it is left out.

    >>> name_parts("C:\\data\\a.png"), name_parts("https://host/x/../a.png")
    (('data', 'a.png'), ('a.png',))
    """
    text = unicodedata.normalize("NFC", name)
    address = _ADDRESS.match(text)
    text = text[address.end() :] if address else text
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".")]
    above = max((k for k, part in enumerate(parts) if part == ".."), default=-1)
    return tuple(parts[above + 1 :])


def file_parts(path: Path) -> Parts:
    """Folders and name of a file, in Unicode's composed form."""
    return tuple(unicodedata.normalize("NFC", part) for part in path.parts)


def is_number(text: str) -> bool:
    """Whether text is a number in the digits 0 to 9."""
    # `isdigit` alone is true of ², which is none; Python refuses numbers of more than 4300 digits.
    return text.isascii() and text.isdigit() and len(text) < 1000


def list_images(root: Path, without: Collection[Path] = ()) -> list[Path]:
    """Paths below `root` of all image files in it and in folders inside, in the order of names.

    Links to folders are followed unless they lead back to a folder they lie in. Hidden files are left out, and so are
    the folders `without` (resolved paths) where they lie inside.
    """
    return sorted(_walk(root, {os.path.realpath(path) for path in without}), key=natural)


def natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sorts `a_2` before `a_10`."""
    words = re.split(r"([0-9]+)", path.as_posix())
    return [(int(word), "") if k % 2 else (-1, word) for k, word in enumerate(words)], path.as_posix()


def _walk(root: Path, without: Collection[str]) -> Iterator[Path]:
    for folder, folders, files in os.walk(root, followlinks=True):
        above = {os.path.realpath(part) for part in (Path(folder), *Path(folder).parents)}
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(folder, name)) not in above.union(without)
        ]
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
                yield Path(os.path.relpath(os.path.join(folder, name), root))


def _index(entries: Iterable[tuple[Parts, Path]]) -> dict[str, list[tuple[Parts, Path]]]:
    found: dict[str, list[tuple[Parts, Path]]] = defaultdict(list)
    for parts, path in entries:
        found[parts[-1].casefold()].append((parts, path))
    return found


def _fitting(parts: Parts, index: Mapping[str, Sequence[tuple[Parts, Path]]]) -> list[Path]:
    """The files of which one path ends with the other; first by the letters as they are, then in lower case."""
    entries = index.get(parts[-1].casefold(), ())
    for fold in (tuple, _folded):
        name = fold(parts)
        files = [(fold(own), path) for own, path in entries]
        shorter = [(len(own), path) for own, path in files if name[-len(own) :] == own]
        if shorter:
            most = max(length for length, _ in shorter)
            return [path for length, path in shorter if length == most]
        deeper = [path for own, path in files if own[-len(name) :] == name and _OTHERS.isdisjoint(_folded(own[:-1]))]
        if deeper:
            return deeper
    return []


def _folded(parts: Parts) -> Parts:
    return tuple(part.casefold() for part in parts)


def _listed(paths: Sequence[Path], folder: Path) -> str:
    names = [printable(path.relative_to(folder)) for path in paths[:_SHOWN]]
    return ", ".join(names) + (", ..." if len(paths) > _SHOWN else "")
