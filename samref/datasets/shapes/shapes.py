"""Objects drawn as shapes in label files of annotation tools: what all such formats share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from samref.config.paths import OutputFolder
from samref.datasets.dataset import MaskDataset, SampleMeta
from samref.errors import ConfigError, DatasetError, InputError
from samref.geometry.polygons import Ring, one_ring, rasterize, shared_out
from samref.io.images import printable
from samref.io.orientation import STORED, check_orientation, frame_sizes, read_image_of
from samref.structures import BoolArray, Failure, Refinement, Sample

# What takes the place of a shape: a polygon or a mask, as the shape holds; None: it is taken away.
NewShape: TypeAlias = "Ring | BoolArray | None"


class Page(Protocol):
    """What a label file holds of one image. Pages travel between processes."""

    @property
    def size(self) -> tuple[int, int] | None:
        """(H, W) that the image is to have, or None where the file does not say."""
        ...

    @property
    def objects(self) -> Mapping[str | int, Sequence[int]]:
        """Places of the shapes that each object to refine is made of, by the object's id."""
        ...

    def decode(self, place: int, size: tuple[int, int]) -> BoolArray:
        """The H x W mask of a shape.

        Args:
            place: of the shape.
            size: (H, W) of the image.

        Raises:
            InputError: for a shape that is broken, naming what is wrong with it.
        """
        ...

    def outlined(self, place: int) -> bool:
        """Whether what takes a shape's place is a polygon; else it is a mask."""
        ...

    def rounded(self, ring: Ring, size: tuple[int, int]) -> Ring:
        """A polygon as it is read again when the file holds it.

        Args:
            ring: N x 2 points (x, y), image px.
            size: (H, W) of the image.
        """
        ...


class ShapesMeta(SampleMeta, total=False):
    """`meta` of a sample of shapes.

    Attributes:
        page: of the image.
        places: N, the shapes that each mask is drawn by.
        settled: by row, what takes their place, where `settle` has chosen it.
    """

    page: Page
    places: Sequence[Sequence[int]]
    settled: dict[int, dict[int, NewShape]]


class ShapeDataset(MaskDataset):
    """Images with objects that are drawn in label files, without ground truth.

    One sample is one image with all its objects. A shape that is broken is listed in `meta["problems"]`, and stays as
    it is. Refined masks come back as polygons where polygons came, with all their parts and holes: see `one_ring`.

    Attributes:
        tolerance: px by which outlines may deviate to have fewer points; 0: files hold the masks pixel for pixel.
    """

    protocol = "none"

    def __init__(self, output: OutputFolder | None, orientation: str, tolerance: float) -> None:
        """Checks what all formats have.

        Args:
            output: folder for the refined files, or None: they go into the run's folder, where they are saved.
            orientation: where shapes were drawn on photos with an EXIF orientation, see `read_image_of`.
            tolerance: px by which outlines may deviate to have fewer points.

        Raises:
            ConfigError: for a tolerance below 0, or another orientation.
        """
        if not 0 <= tolerance < float("inf"):
            raise ConfigError(f"dataset.tolerance is {tolerance}; expected pixels, 0 or more")
        self.output = None if output is None else Path(output).expanduser()
        self.orientation, self.tolerance = check_orientation(orientation), float(tolerance)
        self.problems: list[Failure] = []
        self.warnings: list[str] = []

    @abstractmethod
    def page(self, index: int) -> Page:
        """What the label file holds of a sample's image.

        Args:
            index: of the sample, from 0.

        Returns:
            The page.

        Raises:
            InputError: for a file that cannot be read.
        """

    @abstractmethod
    def picture(self, index: int) -> Path:
        """The image file of a sample.

        Args:
            index: of the sample, from 0.

        Returns:
            Its path.
        """

    def __getitem__(self, index: int) -> Sample:
        """Reads one image and draws its objects.

        Raises:
            InputError: if a file cannot be read, or the image has another size than the label file says.
        """
        page, image_id = self.page(index), self.image_id(index)
        turned, stored = self._frames(index)
        if page.size not in (None, turned, stored):
            raise InputError(
                f"image {printable(self.picture(index))} is {turned[0]} x {turned[1]}, but its labels are drawn on "
                f"{page.size[0]} x {page.size[1]} (height x width); give the image that was labeled"
            )
        size = page.size or (stored if self.orientation == STORED else turned)
        masks, names, places, problems = [], [], [], []
        for name, parts in page.objects.items():
            try:
                masks.append(np.logical_or.reduce([page.decode(place, size) for place in parts]))
            except InputError as error:
                problems.append(Failure(image_id, f"object {name} of {image_id}: {error}"))
                continue
            names.append(name)
            places.append(tuple(parts))
        stacked = np.stack(masks) if masks else np.zeros((0, *size), bool)
        image, warnings = self._image(index, stacked)
        meta: ShapesMeta = {"page": page, "places": places, "problems": tuple(problems), "warnings": warnings}
        meta["settled"] = {}
        return Sample(image, stacked, image_id, tuple(names), meta=meta)

    def settle(self, sample: Sample, refinement: Refinement) -> None:
        """See `MaskDataset`: with a tolerance, polygons hold masks that are a little different."""
        if not self.tolerance:
            return
        for row in changed_rows(sample, refinement):
            shapes = self.new_shapes(sample, row, refinement.masks[row])
            # Drawn once more, the mask would lose points once more.
            sample.meta["settled"][row] = shapes
            refinement.masks[row] = np.logical_or.reduce([_mask(shape, sample) for shape in shapes.values()])

    def new_shapes(self, sample: Sample, row: int, mask: BoolArray) -> dict[int, NewShape]:
        """What takes the place of the shapes of one object.

        Args:
            sample: of this data set.
            row: of the object among the sample's masks.
            mask: H x W bool with at least one pixel, the object's.

        Returns:
            A polygon or a mask by place. Of an object of several shapes each has the parts that it met; one that has
            none left is taken away.
        """
        if row in sample.meta["settled"]:
            settled: dict[int, NewShape] = sample.meta["settled"][row]
            return settled
        page, places = sample.meta["page"], sample.meta["places"][row]
        members = [page.decode(place, mask.shape) for place in places] if len(places) > 1 else [mask]
        shares = shared_out(mask, members)
        return {
            place: self._new_shape(page, place, share) if share.any() else None
            for place, share in zip(places, shares, strict=True)
        }

    def _new_shape(self, page: Page, place: int, mask: BoolArray) -> NewShape:
        if not page.outlined(place):
            return mask
        size = (mask.shape[0], mask.shape[1])
        ring = page.rounded(one_ring(mask, self.tolerance), size)
        # A tolerance wider than the object would leave nothing of it.
        return ring if not self.tolerance or rasterize([ring], size).any() else page.rounded(one_ring(mask), size)

    def _frames(self, index: int) -> tuple[tuple[int, int], tuple[int, int]]:
        return frame_sizes(self.picture(index))

    def _image(self, index: int, masks: BoolArray) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
        return read_image_of(self.picture(index), masks, self.orientation)

    def _keep_out(self, *inputs: Path) -> None:
        """Refuses an output in which a refined file would take the place of one that came."""
        if self.output is None:
            return
        taken = self.output.resolve()
        for path in inputs:
            own = path.resolve()
            if taken == own or own in taken.parents or (own.is_file() and own.parent == taken):
                raise DatasetError(
                    f"dataset.output={printable(self.output)} lies in the input, {printable(path)}; choose a folder "
                    "outside, so that the input stays as it is"
                )


def points_of(content: Any, unit: str = "") -> Ring:
    """N x 2 float64 points (x, y) of what a json file holds as a shape's points.

    Args:
        content: as it came.
        unit: of the numbers, for the error.

    Raises:
        InputError: for anything but a list of finite pairs.
    """
    try:
        points = np.array(content, dtype=np.float64)
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise InputError(f"its points are {str(content)[:40]}; expected a list of [x, y]{unit}")
    return points


def changed_rows(sample: Sample, refinement: Refinement) -> Iterator[int]:
    """The masks that are not as they came."""
    for row, (before, after) in enumerate(zip(sample.masks, refinement.masks, strict=True)):
        if after.any() and not np.array_equal(before, after):
            yield row


def _mask(shape: NewShape, sample: Sample) -> BoolArray | Any:
    if shape is None:
        return np.zeros(sample.original_size, bool)
    return shape if shape.dtype == np.bool_ else rasterize([shape], sample.original_size)  # type: ignore[list-item]
