"""YOLO segmentation: a text file of polygons beside each image, in fractions of the image's sides."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samref.config.paths import InputFile, InputFolder, OutputFolder
from samref.datasets.dataset import MaskWriter
from samref.datasets.shapes.shapes import ShapeDataset
from samref.datasets.shapes.writers import FilesWriter
from samref.datasets.shapes.yolo_layout import IMAGES, LABELS, Split, label_of, read_data, split_images
from samref.datasets.shapes.yolo_rows import YoloPage, read_rows
from samref.errors import DatasetError, InputError
from samref.io.image_folder import list_images
from samref.io.images import printable
from samref.structures import Failure

LAYOUT = "a data.yaml (dataset.data=FILE), or folders of images and labels (dataset.images=DIR dataset.labels=DIR)"


class YoloDataset(ShapeDataset):
    """Images with YOLO-seg labels: `class x y x y ...`, one row an object, in fractions of width and height.

    Several parts are one polygon, joined by bridges to and fro as Ultralytics joins them; so are holes, which the
    even-odd rule keeps. Rows of boxes and points stay as they are, and so does a confidence at the end of a row. Files
    without a row, images without a file (backgrounds) and `data.yaml` come out as they came.

    A sample's object ids are numbers of rows, from 1.

    Attributes:
        labels: label files by image id, the path below the output without ending.
    """

    name = "yolo"

    def __init__(
        self,
        data: InputFile | None = None,
        images: InputFolder | None = None,
        labels: InputFolder | None = None,
        splits: Sequence[str] | None = None,
        output: OutputFolder | None = None,
        orientation: str = "auto",
        tolerance: float = 0.0,
    ) -> None:
        """Finds the label files; none is read yet.

        Args:
            data: `data.yaml` with `path`, `train`, `val`, `test`, as Ultralytics reads it.
            images: folder of images, in place of `data`.
            labels: folder of text files named as the images are, in place of `data`.
            splits: of `data` only these; None: all.
            output: folder for the refined labels, outside the others; None: the run's folder.
            orientation: where shapes were drawn on photos with an EXIF orientation, see `read_image_of`.
            tolerance: px by which outlines may deviate to have fewer points; 0: pixel for pixel.

        Raises:
            ConfigError: for another orientation or a tolerance below 0.
            DatasetError: for a missing file or folder, or where no image has labels.
        """
        super().__init__(output, orientation, tolerance)
        if data is None and (images is None or labels is None):
            raise DatasetError(f"data set yolo has no images or no labels; expected {LAYOUT}")
        self._data: Path | None = None
        if data is not None:
            self._data = Path(data).expanduser()
            content = read_data(self._data)
            entries = [split for split in content.splits if splits is None or split.name in splits]
            if not entries:
                names = ", ".join(split.name for split in content.splits) or "none"
                raise DatasetError(
                    f"{printable(self._data)} has the splits {names}; expected one of {splits or LAYOUT}"
                )
            self._points = content.points
            pairs = self._of_splits(entries, content.root)
        else:
            self._points = False
            pairs = self._of_folders(Path(str(images)).expanduser(), Path(str(labels)).expanduser())
        self.labels: dict[str, Path] = {}
        self._pictures: dict[str, Path] = {}
        self._rest: dict[str, Path] = {} if self._data is None else {self._data.name: self._data}
        self._sort(pairs)
        self._ids = list(self.labels)
        self._keep_out(*{path.parent for path in self.labels.values()})
        if self.output is not None and any(
            (self.output / _name(image_id)).resolve() == path.resolve() for image_id, path in self.labels.items()
        ):
            raise DatasetError(f"dataset.output={printable(self.output)} is the data set itself; choose another folder")
        if not self._ids:
            first = f"; first: {self.problems[0].reason}" if self.problems else ""
            raise DatasetError(f"no image has a label file that holds anything{first}; expected {LAYOUT}")

    def __len__(self) -> int:
        return len(self._ids)

    def image_id(self, index: int) -> str:
        """See `MaskDataset`: the path of the label file below the data set, without ending."""
        return self._ids[index]

    def sample_files(self, index: int) -> Sequence[Path]:
        """See `MaskDataset`: image and label file."""
        return self.picture(index), self.labels[self._ids[index]]

    def input_files(self) -> Sequence[Path]:
        """See `MaskDataset`: `data.yaml`."""
        return () if self._data is None else (self._data,)

    def page(self, index: int) -> YoloPage:
        """See `ShapeDataset`."""
        path = self.labels[self._ids[index]]
        if self._points:
            raise InputError(
                f"{printable(path)} holds key points (kpt_shape in {self._data}), no outlines; expected YOLO-seg labels"
            )
        return read_rows(path)

    def picture(self, index: int) -> Path:
        """See `ShapeDataset`."""
        return self._pictures[self._ids[index]]

    def writer(self, output: Path) -> MaskWriter:
        """Writes labels below `output` by the paths that they had, and `data.yaml` as it came.

        Args:
            output: folder of the refined labels.

        Returns:
            The writer of one run.

        Raises:
            DatasetError: for an output in the input.
        """
        own: Mapping[Any, str] = {image_id: _name(image_id) for image_id in self._ids}
        files = {own[image_id]: self.labels[image_id] for image_id in self._ids}
        return FilesWriter(self, output, files | self._rest, own)

    def _of_splits(self, splits: Sequence[Split], root: Path) -> list[tuple[str, Path, Path]]:
        pairs = {}
        for split in splits:
            for image in split_images(split):
                label = label_of(image)
                pairs[label] = (_below(label, root), image, label)
        return list(pairs.values())

    def _of_folders(self, images: Path, labels: Path) -> list[tuple[str, Path, Path]]:
        for option, folder in ((IMAGES, images), (LABELS, labels)):
            if not folder.is_dir():
                raise DatasetError(f"dataset.{option}={printable(folder)} is not a folder; expected {LAYOUT}")
        relative = list_images(images)
        pairs = [
            (path.with_suffix("").as_posix(), images / path, labels / path.with_suffix(".txt")) for path in relative
        ]
        known = {label for _, _, label in pairs}
        for label in sorted(labels.rglob("*.txt")):
            if label not in known:
                name = label.relative_to(labels).with_suffix("").as_posix()
                self.problems.append(Failure(name, f"labels {printable(label)} have no image of their name"))
        return pairs

    def _sort(self, pairs: Sequence[tuple[str, Path, Path]]) -> None:
        seen: dict[str, Path] = {}
        for image_id, image, label in pairs:
            if not os.path.isfile(label):
                continue
            if image_id in seen:
                self.labels.pop(image_id, None)
                self._rest[_name(image_id)] = label
                self.problems.append(
                    Failure(
                        image_id,
                        f"{printable(seen[image_id])} and {printable(image)} have the same labels; keep one of them",
                    )
                )
                continue
            seen[image_id] = image
            if label.stat().st_size:
                self.labels[image_id], self._pictures[image_id] = label, image
            else:
                self._rest[_name(image_id)] = label


def _name(image_id: str) -> str:
    """The path of a label file below the output."""
    return f"{image_id}.txt"


def _below(label: Path, root: Path) -> str:
    """The path of a label file below its data set, or else below the disk, without the ending."""
    inside = label.is_relative_to(root)
    return (label.relative_to(root) if inside else label.relative_to(label.anchor)).as_posix()[: -len(".txt")]
