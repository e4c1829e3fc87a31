"""COCO's two kinds of JSON files - annotations and results - and where the images they name lie."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from samref.errors import DatasetError

Record = dict[str, Any]
ImageId = int | str


@dataclass(frozen=True)
class CocoFile:
    """A file of instance masks.

    Attributes:
        path: of the file.
        data: its content: a list of results, or a dict with `images`, `annotations`, `categories`, ....
    """

    path: Path
    data: Any

    @property
    def is_results(self) -> bool:
        """Whether it is a results file, as detectors write it."""
        return isinstance(self.data, list)

    @property
    def records(self) -> list[Any]:
        """Results or annotations, in the file's order."""
        records: list[Any] = self.data if self.is_results else self.data.get("annotations", [])
        return records

    @property
    def images(self) -> list[Record]:
        """Image records; none in a results file."""
        return [] if self.is_results else self.data["images"]

    def with_records(self, records: list[Any], image_ids: set[ImageId] | None) -> Any:
        """The file's content with other records, and with the image records of these ids alone (None: all)."""
        if self.is_results:
            return records
        if image_ids is None:
            return {**self.data, "annotations": records}
        images = [image for image in self.images if isinstance(image, dict) and image.get("id") in image_ids]
        return {**self.data, "images": images, "annotations": records}


def read_coco(path: str | Path, option: str) -> CocoFile:
    """Reads a results or an annotations file.

    Args:
        path: of the file.
        option: the configuration key to name in an error.

    Raises:
        DatasetError: if there is no such file or it is neither of the two.
    """
    data = read_json(path, option)
    if (
        isinstance(data, dict)
        and isinstance(data.get("images"), list)
        and isinstance(data.get("annotations", []), list)
    ):
        return CocoFile(Path(path), data)
    if isinstance(data, list) and all(isinstance(record, dict) for record in data):
        return CocoFile(Path(path), data)
    raise DatasetError(
        f"{path} is neither a COCO results file (a list of objects) nor an annotations file (an object with a list "
        f"of images); give another one with {option}=FILE"
    )


def read_image_ids(path: str | Path) -> set[ImageId]:
    """The image ids that a file lists.

    Args:
        path: a text file with one id a line, or JSON: a list of ids, a results file or an annotations file.

    Raises:
        DatasetError: if it is none of these or lists nothing.
    """
    option = "dataset.image_ids"
    if Path(path).suffix != ".json":
        if not Path(path).is_file():
            raise DatasetError(f"{path} is missing; expected a list of image ids ({option}=FILE)")
        try:
            lines = Path(path).read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(
                f"{path} cannot be read ({error}); expected a list of image ids ({option}=FILE)"
            ) from None
        ids: set[ImageId] = {int(line) if _is_number(line) else line for line in lines}
    else:
        data = read_json(path, option)
        entries = data["images"] if isinstance(data, dict) and isinstance(data.get("images"), list) else data
        if not isinstance(entries, list):
            raise DatasetError(
                f"{path} holds no list of image ids; expected ids, results or annotations ({option}=FILE)"
            )
        ids = {_listed_id(entry, path) for entry in entries}
    if not ids:
        raise DatasetError(f"{path} lists no image ids ({option}=FILE)")
    return ids


def read_json(path: str | Path, option: str) -> Any:
    """Parses a JSON file.

    Raises:
        DatasetError: if it is missing or not JSON, naming the option that gives another one.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            return json.load(file)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); give the file with {option}=FILE") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not JSON ({error}); download it again or give another {option}=FILE") from None


@dataclass(frozen=True)
class ImageFolder:
    """Finds the file of an image record, by the names that COCO, LVIS v0.5 and LVIS v1 use.

    Attributes:
        folder: with the images in it or, for LVIS, with `train2017` and `val2017` in it.
    """

    folder: Path

    def find(self, record: Mapping[str, Any]) -> Path | None:
        """The file of an image record, or None."""
        for name in filter(self._holds, _names(record)):
            parent = str(PurePosixPath(name).parent)
            if PurePosixPath(name).name in self._listing(parent):
                return self.folder / name
        return self._by_number.get(record.get("id"))

    def _holds(self, name: str) -> bool:
        # Files of strangers must not have pictures from elsewhere on the disk read and shown.
        root = os.path.abspath(self.folder)
        return os.path.normpath(os.path.join(root, name)).startswith(os.path.join(root, ""))

    def _listing(self, parent: str) -> frozenset[str]:
        # One listing of a folder of 118,000 images is far cheaper than asking for each of them.
        if parent not in self._listings:
            try:
                self._listings[parent] = frozenset(path.name for path in (self.folder / parent).iterdir())
            except (OSError, ValueError):  # not there, not to be read, or no name that a folder can have
                self._listings[parent] = frozenset()
        return self._listings[parent]

    @cached_property
    def _listings(self) -> dict[str, frozenset[str]]:
        return {}

    @cached_property
    def _by_number(self) -> dict[Any, Path]:
        paths = [self.folder / name for name in sorted(self._listing("."))]
        numbered = {int(path.stem): path for path in paths if _is_number(path.stem)}
        return {**{path.stem: path for path in paths}, **numbered}


def _is_number(text: str) -> bool:
    # `isdigit` alone is true of ², which is none; Python refuses numbers of more than 4300 digits.
    return text.isascii() and text.isdigit() and len(text) < 1000


def _names(record: Mapping[str, Any]) -> Iterator[str]:
    file_name, url = record.get("file_name"), record.get("coco_url")
    if isinstance(file_name, str):
        yield file_name
        # LVIS v0.5 has COCO 2014's names (COCO_val2014_000000011813.jpg) for files that COCO 2017 renamed.
        yield PurePosixPath(file_name).name.rpartition("_")[2]
    if isinstance(url, str):
        *_, split, name = ("", *PurePosixPath(url).parts)
        yield name
        yield f"{split}/{name}"


def _listed_id(entry: Any, path: str | Path) -> ImageId:
    value = entry.get("image_id", entry.get("id")) if isinstance(entry, dict) else entry
    if not isinstance(value, (int, str)):
        raise DatasetError(
            f"{path} lists {value!r} as an image id; expected a number or a name (dataset.image_ids=FILE)"
        )
    return value
