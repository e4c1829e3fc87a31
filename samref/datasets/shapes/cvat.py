"""CVAT for images 1.1: one xml file of polygons and masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from samref.config.paths import InputFile, InputFolder, OutputFolder
from samref.datasets.shapes.cvat_shapes import CvatPage
from samref.datasets.shapes.cvat_xml import EXPECTED, read_images, replaced, unique_names
from samref.datasets.shapes.document import DocumentDataset
from samref.datasets.shapes.shapes import NewShape
from samref.structures import Sample


class CvatDataset(DocumentDataset):
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
        super().__init__(
            annotations, images, "annotations", f"{EXPECTED}, and its images", output, orientation, tolerance
        )
        self._keep_out(self._path)
        self._raw, self._images = read_images(self._path)
        names = unique_names(self._images)
        self._places = {name: k for k, name in enumerate(names) if self._images[k].shapes}
        self._find_images(
            {name: [self._images[place].attributes.get("name", "")] for name, place in self._places.items()},
            "image",
            "polygon or mask",
        )

    def sample_content(self, index: int) -> Any:
        """See `MaskDataset`: what the file says of the image."""
        image = self._images[self._places[self._ids[index]]]
        return [dict(image.attributes), [[shape.tag, dict(shape.attributes)] for shape in image.shapes]]

    def page(self, index: int) -> CvatPage:
        """See `ShapeDataset`."""
        return CvatPage(self._images[self._places[self._ids[index]]])

    def _text(self, changes: Mapping[Any, Any]) -> bytes:
        return replaced(
            self._raw,
            (
                (self._images[self._places[name]].shapes[place], attributes)
                for name, kept in changes.items()
                for place, attributes in kept
            ),
        )

    def _changes(self, sample: Sample, shapes: Mapping[int, NewShape]) -> Any:
        page: CvatPage = sample.meta["page"]
        return page.changes(shapes)
