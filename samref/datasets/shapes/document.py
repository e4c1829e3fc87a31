"""Shapes of all images in one file: what formats of this kind share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samref.config.paths import InputFile, InputFolder, OutputFolder
from samref.datasets.shapes.shapes import NewShape, ShapeDataset
from samref.datasets.shapes.writers import DocumentWriter
from samref.errors import DatasetError
from samref.io.image_folder import ImageFolder
from samref.io.images import printable
from samref.structures import Failure, Sample


class DocumentDataset(ShapeDataset):
    """Images whose shapes are in one file, which names them."""

    def __init__(
        self,
        document: InputFile | None,
        images: InputFolder | None,
        option: str,
        expected: str,
        output: OutputFolder | None,
        orientation: str,
        tolerance: float,
    ) -> None:
        """Checks that file and images are given.

        Args:
            document: the file.
            images: folder of the images.
            option: of the data set that names the file.
            expected: both in words, for the error.
            output: folder for the refined file; None: the run's folder.
            orientation: where shapes were drawn on photos with an EXIF orientation, see `read_image_of`.
            tolerance: px by which outlines may deviate to have fewer points.

        Raises:
            ConfigError: for another orientation or a tolerance below 0.
            DatasetError: for a missing option.
        """
        super().__init__(output, orientation, tolerance)
        if document is None or images is None:
            missing = f"dataset.{option}=FILE" if document is None else "dataset.images=DIR"
            raise DatasetError(f"data set {self.name} needs {missing}; expected {expected}")
        self._path, self._folder = Path(document).expanduser(), images
        self._pictures: dict[Any, Path] = {}
        self._ids: list[Any] = []

    def __len__(self) -> int:
        return len(self._ids)

    def image_id(self, index: int) -> str | int:
        """See `MaskDataset`: what the file knows the image by."""
        image_id: str | int = self._ids[index]
        return image_id

    def sample_files(self, index: int) -> Sequence[Path]:
        """See `MaskDataset`: the image; its shapes are in `sample_content`."""
        return (self.picture(index),)

    def input_files(self) -> Sequence[Path]:
        """See `MaskDataset`: the file."""
        return (self._path,)

    def picture(self, index: int) -> Path:
        """See `ShapeDataset`."""
        return self._pictures[self._ids[index]]

    def writer(self, output: Path) -> DocumentWriter:
        """Writes a file of the same name below `output`.

        Args:
            output: folder of the refined file.

        Returns:
            The writer of one run.

        Raises:
            DatasetError: if it would take the place of the file that came.
        """
        return DocumentWriter(self, output, self._path, self._text, self._changes)

    @abstractmethod
    def _text(self, changes: Mapping[Any, Any]) -> bytes:
        """The file's content with the changes of each image, by its id."""

    @abstractmethod
    def _changes(self, sample: Sample, shapes: Mapping[int, NewShape]) -> Any:
        """What changes for an image, as JSON values."""

    def _find_images(self, names: Mapping[Any, Sequence[str | int]], record: str, shapes: str) -> None:
        """Finds the images by what they may be called; `record` and `shapes` are the format's words, for errors."""
        located = ImageFolder(Path(self._folder).expanduser()).locate(names)
        self.problems += [Failure(name, f"{record} {name}: {reason}") for name, reason in located.missing.items()]
        self._pictures = located.paths
        self._ids = [name for name in names if name in located.paths]
        if not self._ids:
            first = f"; first: {self.problems[0].reason}" if self.problems else ""
            raise DatasetError(
                f"no {shapes} of {printable(self._path)} can be refined with the images of {self._folder}{first}"
            )
