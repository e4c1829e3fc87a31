"""COCO's two kinds of JSON files - annotations and results - and what they call their images."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samref.errors import DatasetError
from samref.io.coco_ids import ImageId, plain_id
from samref.io.formats_seen import look_at
from samref.io.image_folder import is_number
from samref.io.json_entries import Entries, read_listed
from samref.io.json_stream import Element

Record = dict[str, Any]
ANNOTATIONS = "annotations"

_COCO_2014 = re.compile(r"(?:.*/)?COCO_(?:train|val|test)2014_(\d{12}\.jpg)")


@dataclass(frozen=True)
class CocoFile:
    """A file of instance masks.

    Attributes:
        path: of the file.
        data: its content: a list of results, or a dict with `images`, `annotations`, `categories`, .... Results and
            annotations stay in the file until they are read, where that is possible: see `Entries`.
    """

    path: Path
    data: Any

    @property
    def is_results(self) -> bool:
        """Whether it is a results file, as detectors write it."""
        return not isinstance(self.data, dict)

    @property
    def records(self) -> Sequence[Any]:
        """Results or annotations, in the file's order."""
        records: Sequence[Any] = self.data if self.is_results else self.data.get("annotations", [])
        return records

    def records_at(self, positions: Iterable[int]) -> list[Any]:
        """Those at some places."""
        records = self.records
        return records.at(positions) if isinstance(records, Entries) else [records[k] for k in positions]

    @property
    def images(self) -> list[Record]:
        """Image records; none in a results file."""
        return [] if self.is_results else self.data["images"]

    def elements(self, records: Iterable[Any], image_ids: set[ImageId] | None) -> Iterator[Element]:
        """The file's content with other records, and with the image records of these ids alone (None: all)."""
        for key, value in [(None, self.data)] if self.is_results else self.data.items():
            if key in (None, ANNOTATIONS):
                yield Element("list", key)
                yield from (Element("entry", key, record) for record in records)
            elif key == "images" and image_ids is not None:
                images = [image for image in value if isinstance(image, dict) and image.get("id") in image_ids]
                yield Element("value", key, images)
            else:
                yield Element("value", key, value)


def read_coco(path: str | Path, option: str) -> CocoFile:
    """Reads a results or an annotations file.

    Args:
        path: of the file.
        option: the configuration key to name in an error.

    Raises:
        DatasetError: if there is no such file or it is neither of the two.
    """
    data = read_listed(Path(path), (ANNOTATIONS,))
    if data is None:
        data = read_json(path, option)
    if (
        isinstance(data, dict)
        and isinstance(data.get("images"), list)
        and isinstance(data.get(ANNOTATIONS, []), (list, Entries))
    ):
        return CocoFile(Path(path), data)
    if isinstance(data, (list, Entries)) and all(isinstance(record, dict) and "data" not in record for record in data):
        return CocoFile(Path(path), data)
    seen = look_at(Path(path))
    raise DatasetError(
        f"{path} is neither a COCO results file (a list of objects) nor an annotations file (an object with a list "
        f"of images); give another one with {option}=FILE" + ("" if seen is None else f"; it looks like {seen}")
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
            lines = Path(path).read_text(encoding="utf-8-sig").split()
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(
                f"{path} cannot be read ({error}); expected a list of image ids ({option}=FILE)"
            ) from None
        ids: set[ImageId] = {int(line) if is_number(line) else line for line in lines}
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
        # From bytes, which are read as UTF-8, UTF-16 or UTF-32, with or without a byte order mark.
        return json.loads(Path(path).read_bytes())
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); give the file with {option}=FILE") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not JSON ({error}); give another file with {option}=FILE") from None


def image_names(record: Mapping[str, Any]) -> list[str | int]:
    """What the file of an image record may be called: see `ImageFolder.locate`.

    A record that names its file is not looked for by anything else; the number of an id is used only where there is no
    name. COCO renamed its files in 2017, and LVIS has the older name (v0.5) or an address alone (v1).
    """
    name, url, image_id = record.get("file_name"), record.get("coco_url"), plain_id(record.get("id"))
    if isinstance(name, str) and name:
        renamed = _COCO_2014.fullmatch(name)
        return [name, renamed[1], *([url] if isinstance(url, str) else [])] if renamed else [name]
    if isinstance(url, str) and url:
        return [url]
    return [] if image_id is None else [image_id]


def _listed_id(entry: Any, path: str | Path) -> ImageId:
    value = plain_id(entry.get("image_id", entry.get("id")) if isinstance(entry, dict) else entry)
    if value is None:
        raise DatasetError(
            f"{path} lists {str(entry)[:60]} as an image id; expected a number or a name (dataset.image_ids=FILE)"
        )
    return value
