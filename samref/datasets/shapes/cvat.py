"""CVAT for images 1.1: one xml file of polygons and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samref.config.paths import InputFile, InputFolder, OutputFolder
from samref.datasets.shapes.cvat_shapes import CvatPage
from samref.datasets.shapes.cvat_xml import EXPECTED, read_images, replaced, unique_names
from samref.datasets.shapes.shapes import NewShape, ShapeDataset
from samref.datasets.shapes.writers import DocumentWriter
from samref.errors import DatasetError
from samref.io.image_folder import ImageFolder
from samref.io.images import printable
from samref.structures import Failure, Sample


class CvatDataset(ShapeDataset):
    """Images with the polygons and masks of CVAT's xml.

    Shapes of one label and group are one object, as in CVAT's own export to COCO. Boxes, points, lines, cuboids and
    tags stay as they are, and so do order, label, source, occlusion, z-order, groups and attributes of all shapes:
    outside of the numbers of refined shapes the file keeps its bytes.

    A sample's id is the image's name; its object ids are numbers of its polygons and masks, from 1.
    """

    name = "cvat"

    def __init__(
        self,
        annotations: InputFile | None,
        images: InputFolder | None,
        output: OutputFolder | None = None,
        orientation: str = "auto",
        tolerance: float = 0.0,
    ) -> None:
        """Reads the file and finds its images.

        Args:
            annotations: xml file, as CVAT exports it "for images 1.1".
            images: folder of the images.
            output: folder for the refined file; None: the run's folder.
            orientation: where shapes were drawn on photos with an EXIF orientation, see `read_image_of`.
            tolerance: px by which outlines may deviate to have fewer points; 0: pixel for pixel.

        Raises:
            ConfigError: for another orientation or a tolerance below 0.
            DatasetError: for a missing or other file, or where no shape can be refined.
        """
        super().__init__(output, orientation, tolerance)
        if annotations is None or images is None:
            missing = "dataset.annotations=FILE" if annotations is None else "dataset.images=DIR"
            raise DatasetError(f"data set cvat needs {missing}; expected {EXPECTED}, and its images")
        self._path = Path(annotations).expanduser()
        self._keep_out(self._path)
        self._raw, self._images = read_images(self._path)
        names = unique_names(self._images)
        self._places = {name: k for k, name in enumerate(names) if self._images[k].shapes}
        located = ImageFolder(Path(images).expanduser()).locate(
            {name: [self._images[place].attributes.get("name", "")] for name, place in self._places.items()}
        )
        self.problems += [Failure(name, f"image {name}: {reason}") for name, reason in located.missing.items()]
        self._pictures = located.paths
        self._ids = [name for name in self._places if name in located.paths]
        if not self._ids:
            first = f"; first: {self.problems[0].reason}" if self.problems else ""
            raise DatasetError(
                f"no polygon or mask of {printable(self._path)} can be refined with the images of {images}{first}"
            )

    def __len__(self) -> int:
        return len(self._ids)

    def image_id(self, index: int) -> str:
        """See `MaskDataset`: the image's name."""
        return self._ids[index]

    def sample_files(self, index: int) -> Sequence[Path]:
        """See `MaskDataset`: the image; its shapes are in `sample_content`."""
        return (self.picture(index),)

    def sample_content(self, index: int) -> Any:
        """See `MaskDataset`: what the file says of the image."""
        image = self._images[self._places[self._ids[index]]]
        return [dict(image.attributes), [[shape.tag, dict(shape.attributes)] for shape in image.shapes]]

    def input_files(self) -> Sequence[Path]:
        """See `MaskDataset`: the xml file."""
        return (self._path,)

    def page(self, index: int) -> CvatPage:
        """See `ShapeDataset`."""
        return CvatPage(self._images[self._places[self._ids[index]]])

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
        return DocumentWriter(self, output, self._path, self._text, _changes)

    def _text(self, changes: Mapping[Any, Any]) -> bytes:
        return replaced(
            self._raw,
            (
                (self._images[self._places[name]].shapes[place], attributes)
                for name, kept in changes.items()
                for place, attributes in kept
            ),
        )


def _changes(sample: Sample, shapes: Mapping[int, NewShape]) -> Any:
    page: CvatPage = sample.meta["page"]
    return page.changes(shapes)
