"""LabelMe: a json file of shapes beside each image, or around it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PureWindowsPath

import numpy as np
import numpy.typing as npt

from samref.config.paths import InputFolder, OutputFolder
from samref.datasets.shapes.labelme_shapes import LabelmePage, looks_like_labelme, read_page
from samref.datasets.shapes.shapes import ShapeDataset
from samref.datasets.shapes.writers import FilesWriter
from samref.errors import DatasetError, InputError
from samref.io.image_folder import ImageFolder, natural
from samref.io.images import decode_image, printable
from samref.structures import BoolArray

LAYOUT = "LabelMe's json files in dataset.labels"


class LabelmeDataset(ShapeDataset):
    """Images with the shapes of LabelMe.

    Polygons, rectangles, circles and masks are refined; points and lines stay as they are. Shapes of one label and
    group are one object, as in LabelMe's own converters. Masks come back as masks, all else as polygons, with label,
    group, flags, description and whatever other tools have added.

    A sample's object ids are numbers of shapes, from 1; of a group that of its first shape.
    """

    name = "labelme"

    def __init__(
        self,
        labels: InputFolder | None,
        images: InputFolder | None = None,
        output: OutputFolder | None = None,
        orientation: str = "auto",
        tolerance: float = 0.0,
    ) -> None:
        """Finds the label files.

        Args:
            labels: folder of the json files, with any folders inside.
            images: folder of the images; None: where `imagePath` says, as seen from each json file.
            output: folder for the refined json files, outside the others; None: the run's folder.
            orientation: where shapes were drawn on photos with an EXIF orientation, see `read_image_of`; LabelMe shows
                them turned.
            tolerance: px by which outlines may deviate to have fewer points; 0: pixel for pixel.

        Raises:
            ConfigError: for another orientation or a tolerance below 0.
            DatasetError: for a missing folder, or one without LabelMe's files.
        """
        super().__init__(output, orientation, tolerance)
        if labels is None:
            raise DatasetError(f"data set labelme needs dataset.labels=DIR; expected {LAYOUT}")
        self._root = Path(labels).expanduser()
        if not self._root.is_dir():
            raise DatasetError(f"dataset.labels={printable(labels)} is not a folder; expected {LAYOUT}")
        self._images = None if images is None else ImageFolder(Path(images).expanduser())
        self._keep_out(self._root)
        found = sorted((path for path in self._root.rglob("*.json") if path.is_file()), key=natural)
        self._labels = [path for path in found if looks_like_labelme(path)]
        if not self._labels:
            raise DatasetError(
                f"{printable(self._root)} holds {len(found)} json files, none of LabelMe; expected {LAYOUT}"
            )
        if len(self._labels) < len(found):
            other = next(path for path in found if path not in set(self._labels))
            self.warnings.append(
                f"json files in dataset.labels that are not LabelMe's, as {printable(other.name)}, and are left out: "
                f"{len(found) - len(self._labels)}"
            )

    def __len__(self) -> int:
        return len(self._labels)

    def image_id(self, index: int) -> str:
        """See `MaskDataset`: the path of the json file below the folder, without ending."""
        return self._labels[index].relative_to(self._root).as_posix()[: -len(".json")]

    def sample_files(self, index: int) -> Sequence[Path]:
        """See `MaskDataset`: the json file, and the image where it is not inside."""
        try:
            embedded = self.page(index).embedded
        except InputError:
            return (self._labels[index],)
        return (self._labels[index],) if embedded else (self.picture(index), self._labels[index])

    def page(self, index: int) -> LabelmePage:
        """See `ShapeDataset`."""
        path = self._labels[index]
        # Sizes, shapes and image are read one after the other, and a file that holds its image is long.
        return _page(path, path.stat().st_mtime_ns if path.is_file() else 0)

    def picture(self, index: int) -> Path:
        """See `ShapeDataset`: where the image is, or is missing."""
        name = self.page(index).image_name
        folder = self._labels[index].parent
        beside = folder / PureWindowsPath(name).as_posix()
        if self._images is None and beside.is_file():
            return beside
        # A path of another computer: what it ends with is looked for, as in other formats.
        found = (self._images or ImageFolder(folder)).find(name) if name else None
        return found or (beside if self._images is None else self._images.folder / PureWindowsPath(name).name)

    def writer(self, output: Path) -> FilesWriter:
        """Writes json files below `output` by the paths that they had.

        Args:
            output: folder of the refined json files.

        Returns:
            The writer of one run.
        """
        own = {self.image_id(index): f"{self.image_id(index)}.json" for index in range(len(self))}
        return FilesWriter(self, output, dict(zip(own.values(), self._labels, strict=True)), own)

    def _frames(self, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
        page = self.page(index)
        if page.embedded is None:
            return super()._frames(index)
        image = decode_image(page.embedded, self._labels[index])
        size = image.shape[0], image.shape[1]
        return size, size

    def _image(self, index: int, masks: BoolArray) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
        page = self.page(index)
        if page.embedded is None:
            return super()._image(index, masks)
        return decode_image(page.embedded, self._labels[index]), ()


@lru_cache(maxsize=2)
def _page(path: Path, changed: int) -> LabelmePage:
    return read_page(path)
