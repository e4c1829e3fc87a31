"""GeoTIFF scenes with masks on the same grid, refined window by window."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from samref.config.paths import InputFolder, OutputFolder
from samref.datasets.dataset import MaskDataset, SampleMeta
from samref.datasets.folder.matching import Pairing, pair_files
from samref.datasets.folder.overlap import settle, share_out
from samref.datasets.geotiff.raster import georeference, read_picture, read_values, spans, value_range
from samref.datasets.geotiff.writer import GeoTiffWriter
from samref.errors import ConfigError, DatasetError, InputError
from samref.geometry.windows import Window
from samref.io.image_folder import list_images
from samref.io.images import printable
from samref.structures import Refinement, Sample

LAYOUT = "GeoTIFFs in dataset.images, masks of the same names on the same grid in dataset.masks"
MARGIN_MOST = 0.5


class SceneMeta(SampleMeta, total=False):
    """`meta` of a window.

    Attributes:
        inside: its core, from the window's own corner.
        parts_of: N, the value that each mask has in the file.
    """

    inside: Window
    parts_of: Sequence[int]


class GeoTiff(MaskDataset):
    """Scenes of any size, depth and number of bands, with masks on their grid.

    A sample is a window of a scene: a core, which is written, and a margin around it, which is seen. Each connected
    part of a value other than the background is one object. Refined masks come out as GeoTIFFs of the same names, with
    grid, coordinate system, type, compression and tags as they were.

    Values are spread over 0 to 255 by one rule for a whole scene: 8 bits as they are, all else from the 2nd to the
    98th percentile of each band, or as `value_range` says. Pixels without data are black.

    A sample's id is NAME:ROW:COLUMN of its core; object ids are VALUE:NUMBER.
    """

    name = "geotiff"
    protocol = "none"

    def __init__(
        self,
        images: InputFolder | None,
        masks: InputFolder | None,
        output: OutputFolder | None = None,
        bands: Sequence[int] = (1, 2, 3),
        value_range: Sequence[float] | None = None,
        background: int = 0,
        window: int = 1024,
        margin: int = 128,
    ) -> None:
        """Pairs the scenes and cuts them into windows; of each scene the header is read.

        Args:
            images: folder of the scenes.
            masks: folder of the masks, with the scenes' names.
            output: folder for the refined masks, outside the others; None: the run's folder.
            bands: three bands, from 1, that are taken for red, green and blue; one may be there three times.
            value_range: (low, high) values that are black and white; None: see above.
            background: value of pixels that belong to nothing.
            window: side of a window's core, px.
            margin: around the core, px.

        Raises:
            ConfigError: for bands, a range or sides that make no sense, or without rasterio.
            DatasetError: for missing folders, or where no mask belongs to a scene.
            InputError: for a scene that cannot be read, or a mask on another grid.
        """
        if len(bands) != 3 or (value_range is not None and (len(value_range) != 2 or value_range[0] >= value_range[1])):
            raise ConfigError(
                f"dataset.bands is {list(bands)} and dataset.value_range is {value_range}; expected three numbers of "
                "bands, and [low, high] or null"
            )
        if window < 64 or not 0 <= margin <= MARGIN_MOST * window:
            raise ConfigError(
                f"dataset.window is {window} and dataset.margin {margin}; expected 64 px or more, and a margin of at "
                "most half of it"
            )
        self.images, self.masks = (_folder(path, name) for path, name in ((images, "images"), (masks, "masks")))
        self.output = None if output is None else Path(output).expanduser()
        for folder in (self.images, self.masks):
            if self.output is not None and self.output.resolve().is_relative_to(folder.resolve()):
                raise DatasetError(f"dataset.output={printable(self.output)} lies in the input; choose another folder")
        self.bands, self._range, self.background = tuple(bands), value_range, background
        pairings, self.problems = pair_files(list_images(self.images), list_images(self.masks))
        if not pairings:
            raise DatasetError(f"no mask in {printable(self.masks)} belongs to a scene; expected {LAYOUT}")
        self._windows: list[tuple[Pairing, Window, Window]] = []
        for pairing in pairings:
            size = self._size(pairing)
            self._windows += [(pairing, core, around) for core, around in spans(size, window, margin)]

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> Sample:
        """Reads one window.

        Raises:
            InputError: if a file cannot be read, or lacks a band.
        """
        pairing, core, around = self._windows[index]
        image = self.images / pairing.image
        limits = _limits(image, self.bands, None if self._range is None else tuple(self._range))
        picture = read_picture(image, around, self.bands, limits)
        values = read_values(self.masks / pairing.masks[0], around)
        inside = Window(core.x - around.x, core.y - around.y, core.height, core.width)
        masks, parts_of, names = [], [], []
        for value in np.unique(values).tolist():
            if value == self.background:
                continue
            labels = cv2.connectedComponents((values == value).astype(np.uint8), connectivity=8)[1]
            # Parts in the margin alone are their own window's work.
            for part in filter(None, np.unique(labels[inside.slices]).tolist()):
                masks.append(labels == part)
                parts_of.append(value)
                names.append(f"{value}:{part}")
        meta: SceneMeta = {"inside": inside, "parts_of": parts_of}
        stacked = np.array(masks, bool).reshape(len(masks), *values.shape)
        return Sample(picture, stacked, self.image_id(index), tuple(names), meta=meta)

    def image_id(self, index: int) -> str:
        """See `MaskDataset`."""
        pairing, core, _ = self._windows[index]
        return f"{pairing.image_id}:{core.y}:{core.x}"

    def sample_files(self, index: int) -> Sequence[Path]:
        """See `MaskDataset`: the scene and its mask."""
        pairing, _, _ = self._windows[index]
        return self.images / pairing.image, self.masks / pairing.masks[0]

    def sample_content(self, index: int) -> Any:
        """See `MaskDataset`: the window."""
        _, core, around = self._windows[index]
        return [str(core), str(around)]

    def settle(self, sample: Sample, refinement: Refinement) -> None:
        """See `MaskDataset`: a file holds one value a pixel, and of a window its core is written."""
        outside = np.ones(sample.original_size, bool)
        outside[sample.meta["inside"].slices] = False
        refinement.masks[:, outside] = sample.masks[:, outside]
        rows = list(range(len(sample.masks)))
        if rows:
            free = np.zeros(sample.original_size, bool)
            settle(refinement, rows, share_out(sample.masks, refinement, rows, sample.meta["parts_of"], free, True))

    def writer(self, output: Path) -> GeoTiffWriter:
        """Writes below `output` what lies below the folder of masks.

        Args:
            output: folder of the refined masks.

        Returns:
            The writer of one run.
        """
        masks = dict.fromkeys(str(pairing.masks[0]) for pairing, _, _ in self._windows)
        cores = {self.image_id(k): (str(p.masks[0]), core) for k, (p, core, _) in enumerate(self._windows)}
        return GeoTiffWriter(output, self.masks, list(masks), cores, self.background)

    def _size(self, pairing: Pairing) -> tuple[int, int]:
        image, mask = self.images / pairing.image, self.masks / pairing.masks[0]
        (size, transform, crs), (other, its, own) = georeference(image), georeference(mask)
        if size != other or not its.almost_equals(transform) or (own is not None and crs is not None and own != crs):
            raise InputError(
                f"mask {printable(mask)} is {other[0]} x {other[1]} px on another grid than {printable(image)} of "
                f"{size[0]} x {size[1]} px; expected one grid: warp it first (rio warp MASK OUT --like IMAGE)"
            )
        if len(pairing.masks) > 1:
            raise InputError(f"{printable(image)} has {len(pairing.masks)} masks; expected one file of several values")
        return size


@lru_cache(maxsize=16)
def _limits(path: Path, bands: tuple[int, ...], given: tuple[float, ...] | None) -> Any:
    return value_range(path, bands, given)


def _folder(given: str | Path | None, option: str) -> Path:
    if given is None:
        raise DatasetError(f"dataset=geotiff needs dataset.{option}=DIR; expected {LAYOUT}")
    path = Path(given).expanduser()
    if not path.is_dir():
        raise DatasetError(f"dataset.{option}={printable(given)} is not a folder; expected {LAYOUT}")
    return path
