"""Label Studio: tasks in one json file, polygons in percent and brushes as run lengths."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from samref.config.paths import InputFile, InputFolder, OutputFolder
from samref.datasets.shapes.document import DocumentDataset
from samref.datasets.shapes.label_studio_regions import LabelStudioPage, changed_task
from samref.datasets.shapes.shapes import NewShape
from samref.errors import DatasetError
from samref.io.images import IMAGE_SUFFIXES, printable
from samref.io.json_text import dumps_like
from samref.structures import Sample

EXPECTED = "the tasks of a Label Studio project, exported as JSON"
# What Label Studio puts in front of the names of files that it took in.
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)", re.DOTALL)


class LabelStudioDataset(DocumentDataset):
    """Images of Label Studio tasks, with the polygons and brushes of their annotations and predictions.

    One sample is one task with a polygon or brush. Rectangles, ellipses, key points, choices and texts stay as they
    are, and so does every other field.

    A sample's id is that of the task, or its number from 1; object ids are those of the regions.
    """

    name = "label_studio"

    def __init__(
        self,
        tasks: InputFile | None,
        images: InputFolder | None,
        output: OutputFolder | None = None,
        orientation: str = "auto",
        tolerance: float = 0.0,
    ) -> None:
        """Reads the tasks and finds their images.

        Args:
            tasks: json file with a list of tasks, as Label Studio exports (JSON, not JSON-MIN) and imports it.
            images: folder of the images.
            output: folder for the refined file; None: the run's folder.
            orientation: where shapes were drawn on photos with an EXIF orientation, see `read_image_of`.
            tolerance: px by which outlines may deviate to have fewer points; 0: pixel for pixel.

        Raises:
            ConfigError: for another orientation or a tolerance below 0.
            DatasetError: for a missing or other file, or where no region can be refined.
        """
        super().__init__(tasks, images, "tasks", f"{EXPECTED}, and their images", output, orientation, tolerance)
        self._content = _read(self._path)
        self._keep_out(self._path)
        ids = _ids(self._content)
        self._tasks = {ids[place]: place for place, task in enumerate(self._content) if LabelStudioPage(task).places}
        names = {name: _names(self._content[place]) for name, place in self._tasks.items()}
        self._find_images(names, "task", "polygon or brush")

    def sample_content(self, index: int) -> Any:
        """See `MaskDataset`: annotations and predictions of the task."""
        page = self.page(index)
        return [page.task[kind][work]["result"][result] for kind, work, result in page.places]

    def page(self, index: int) -> LabelStudioPage:
        """See `ShapeDataset`."""
        return LabelStudioPage(self._content[self._tasks[self._ids[index]]])

    def _text(self, changes: Mapping[Any, Any]) -> bytes:
        changed = list(self._content)
        for name, kept in changes.items():
            place = self._tasks[name]
            changed[place] = changed_task(changed[place], kept)
        return dumps_like(self._path.read_bytes(), self._content, changed)

    def _changes(self, sample: Sample, shapes: Mapping[int, NewShape]) -> Any:
        page: LabelStudioPage = sample.meta["page"]
        return page.changes(shapes, sample.original_size)


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{printable(path)} cannot be read ({error}); expected {EXPECTED}") from None
    tasks = content if isinstance(content, list) else None
    if not tasks or not all(isinstance(task, dict) and isinstance(task.get("data"), dict) for task in tasks):
        kind = (
            "JSON-MIN" if tasks and isinstance(tasks[0], dict) and "annotation_id" in tasks[0] else "no list of tasks"
        )
        raise DatasetError(f"{printable(path)} is {kind}; expected {EXPECTED}")
    return tasks


def _ids(tasks: Sequence[Mapping[str, Any]]) -> list[str | int]:
    """Of each task its id, or all their numbers from 1 where an id is missing or there twice."""
    found = [task.get("id") for task in tasks]
    unique = len(set(map(str, found))) == len(found) and all(type(name) in (int, str) for name in found)
    return [name for name in found if isinstance(name, (int, str))] if unique else list(range(1, len(tasks) + 1))


def _names(task: Mapping[str, Any]) -> list[str | int]:
    """What the image file of a task may be called."""
    values = [value for value in task["data"].values() if isinstance(value, str)]
    paths = [_path(value) for value in values]
    images = [path for path in paths if Path(path).suffix.lower() in IMAGE_SUFFIXES]
    upload = task.get("file_upload")
    found: list[str | int] = []
    for name in [*images[:1], *([upload] if isinstance(upload, str) else [])]:
        found.append(name)
        folder, _, last = name.rpartition("/")
        uploaded = _UPLOADED.fullmatch(last) if not folder or "upload" in folder else None
        found += [uploaded[1]] if uploaded else []
    return list(dict.fromkeys(found))


def _path(value: str) -> str:
    """The path in an address; of files that Label Studio serves from a folder of its own, the path there."""
    parts = urlsplit(value) if "://" in value or "?" in value else None
    if parts is None:
        return value
    local = parse_qs(parts.query).get("d")
    return local[0] if local else parts.path
