"""PASCAL VOC's objects: label maps of `SegmentationObject`, refined object by object, and the class maps with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samref.config.paths import InputFolder, OutputFolder
from samref.datasets.dataset import MaskDataset, MaskWriter
from samref.datasets.folder.mask_files import MaskFile, read_mask_file, write_labels_like
from samref.datasets.folder.overlap import settle
from samref.datasets.folder.style import Values
from samref.datasets.folder.writer import FolderMeta, FolderWriter, rows_of, shares_of
from samref.errors import DatasetError, InputError
from samref.io.atomic import copy_file
from samref.io.colors import ColorTable, voc_colors
from samref.io.image_folder import list_images
from samref.io.images import printable
from samref.io.lists import read_lines
from samref.io.orientation import read_image_of
from samref.structures import BoolArray, Refinement, Sample

if TYPE_CHECKING:
    from samref.metrics.scorers import OverlapScorer

NOTHING = 0
COLORS = ColorTable(voc_colors())
LAYOUT = "JPEGImages, SegmentationObject and SegmentationClass below dataset.root, as of VOC2012"


class InstanceMeta(FolderMeta, total=False):
    """`meta` of a sample of objects.

    Attributes:
        class_map: of the image, or None.
        classes: N, the class of each object there.
    """

    class_map: str | None
    classes: Sequence[int]


class VocInstances(MaskDataset):
    """Objects in the layout of PASCAL VOC, as VOC itself, LabelMe, CVAT and datumaro write it.

    Each label of an object map is one object; 0 is the background, and void (255 in palette images, which lines VOC's
    objects) stays as it is. Refined object maps come out under their names, and so do class maps, in which each object
    has the class that it had. Files in colors are read by VOC's colors.

    A sample's object ids are the labels.
    """

    name = "voc_instances"

    def __init__(
        self,
        root: InputFolder | None,
        split: str | None = None,
        objects: str = "SegmentationObject",
        classes: str | None = "SegmentationClass",
        truth: str | None = None,
        output: OutputFolder | None = None,
        orientation: str = "auto",
    ) -> None:
        """Finds the files.

        Args:
            root: folder with `JPEGImages` and the maps.
            split: file of `ImageSets/Segmentation`, without its ending; None: all object maps.
            objects: folder of the coarse object maps, below the root.
            classes: folder of the class maps, below the root; None: there are none. It may lack files.
            truth: folder of true object maps with the same labels, below the root; None: nothing is scored.
            output: folder for the refined maps, outside the root; None: the run's folder.
            orientation: where masks were drawn on photos with an EXIF orientation, see `read_image_of`.

        Raises:
            DatasetError: for missing folders or files, or an output in the input.
        """
        if root is None:
            raise DatasetError(f"data set voc_instances needs dataset.root=DIR; expected {LAYOUT}")
        self.root, self.orientation = Path(root).expanduser(), orientation
        self.objects, self.classes, self.true = objects, classes, truth
        self.output = None if output is None else Path(output).expanduser()
        if self.output is not None and self.output.resolve().is_relative_to(self.root.resolve()):
            raise DatasetError(
                f"dataset.output={printable(self.output)} lies in the input, {printable(self.root)}; choose a folder "
                "outside, so that the input stays as it is"
            )
        self.protocol = "none" if truth is None else "overlap"
        self._list = None if split is None else self.root / "ImageSets" / "Segmentation" / f"{split}.txt"
        photos = _by_stem(self._folder("JPEGImages"))
        maps = _by_stem(self._folder(objects))
        wanted = list(maps) if self._list is None else [Path(words[0]).stem for words in read_lines(self._list)]
        self._maps = {name: maps[name] for name in dict.fromkeys(wanted) if name in maps}
        self._names = list(self._maps)
        self._photos = photos
        lacking = [name for name in self._names if name not in photos]
        missing = [name for name in wanted if name not in maps]
        if lacking or missing or not self._names:
            kind, names = ("images in JPEGImages", lacking) if lacking else (f"maps in {objects}", missing)
            raise DatasetError(
                f"{printable(self.root)} lacks {len(names) or 'all'} {kind}, as {names[:3]}; expected {LAYOUT}"
            )

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        """Reads one image and its objects.

        Raises:
            InputError: if a file cannot be read or differs in size from the image.
        """
        name = self._names[index]
        path = self.root / self.objects / self._maps[name]
        content = _read(path)
        image, warnings = read_image_of(self.root / "JPEGImages" / self._photos[name], content.masks, self.orientation)
        size = (image.shape[0], image.shape[1])
        _check_size(path, content.masks, size)
        labels = content.labels or ()
        file = str(self._maps[name])
        class_map = self._class_map(name)
        meta: InstanceMeta = {
            "masks_folder": str(self.root / self.objects), "all_files": (file,), "files": (file,) * len(labels),
            "labels": labels, "backgrounds": {file: content.background}, "ignored": {file: content.ignored},
            "written": {}, "sizes": {}, "warnings": (*warnings, *content.warnings),
            "class_map": None if class_map is None else str(class_map),
            "classes": () if class_map is None else _classes(class_map, content.masks),
        }  # fmt: skip
        return Sample(image, content.masks, name, labels, truth=self._truth(name, labels, size), meta=meta)

    def image_id(self, index: int) -> str:
        """See `MaskDataset`: the file's name without its ending."""
        return self._names[index]

    def sample_files(self, index: int) -> Sequence[Path]:
        """See `MaskDataset`: image, object map, and class map and truth where there are any."""
        name = self._names[index]
        class_map = self._class_map(name)
        files = [self.root / "JPEGImages" / self._photos[name], self.root / self.objects / self._maps[name]]
        truth = [] if self.true is None else [self.root / self.true / self._maps[name]]
        return (*files, *([] if class_map is None else [class_map]), *truth)

    def input_files(self) -> Sequence[Path]:
        """See `MaskDataset`: the split's list of names."""
        return () if self._list is None else (self._list,)

    def scorer(self, image_ids: Iterable[Any] | None = None) -> OverlapScorer | None:
        """See `MaskDataset`: IoU and boundary IoU of each object."""
        from samref.metrics.scorers import OverlapScorer

        return OverlapScorer() if self.scored else None

    def settle(self, sample: Sample, refinement: Refinement) -> None:
        """See `MaskDataset`: an object map holds one label a pixel."""
        rows = rows_of(sample, sample.meta["all_files"][0])
        if rows:
            settle(refinement, rows, shares_of(sample, refinement, rows))

    def writer(self, output: Path) -> MaskWriter:
        """Writes `SegmentationObject` and `SegmentationClass`, or as they are called, below `output`.

        Args:
            output: folder of the refined maps.

        Returns:
            The writer of one run.
        """
        return InstanceWriter(output, self.objects, self.classes)

    def _folder(self, name: str) -> Path:
        path = self.root / name
        if not path.is_dir():
            raise DatasetError(f"{printable(path)} is no folder; expected {LAYOUT}")
        return path

    def _class_map(self, name: str) -> Path | None:
        path = None if self.classes is None else self.root / self.classes / self._maps[name]
        return path if path is not None and path.is_file() else None

    def _truth(self, name: str, labels: Sequence[int], size: tuple[int, int]) -> BoolArray | None:
        if self.true is None:
            return None
        path = self.root / self.true / self._maps[name]
        content = _read(path)
        _check_size(path, content.masks, size)
        by_label: Mapping[int, BoolArray] = dict(zip(content.labels or (), content.masks, strict=True))
        masks = [by_label.get(label, np.zeros(size, bool)) for label in labels]
        return np.array(masks, bool).reshape(len(labels), *size)


class InstanceWriter(MaskWriter):
    """Writes object maps and class maps under their own names, with their palettes; unchanged ones are copied."""

    def __init__(self, output: Path, objects: str, classes: str | None) -> None:
        """Chooses where to.

        Args:
            output: folder.
            objects: folder of the object maps below it.
            classes: folder of the class maps below it, or None.
        """
        self._objects = FolderWriter(output / objects, palette=COLORS)
        self._classes = None if classes is None else output / classes

    def write(self, sample: Sample, refinement: Refinement) -> None:
        """Writes the maps of one image."""
        self._objects.write(sample, refinement)
        class_map = sample.meta["class_map"]
        if class_map is None or self._classes is None:
            return
        source, target = Path(class_map), self._classes / sample.meta["all_files"][0]
        if np.array_equal(sample.masks, refinement.masks):
            copy_file(source, target)
            return

        def paint(values: Values) -> None:
            values[sample.masks.any(axis=0)] = NOTHING
            for category, mask in zip(sample.meta["classes"], refinement.masks, strict=True):
                values[mask] = category

        write_labels_like(source, target, paint, None, COLORS)


def _read(path: Path) -> MaskFile:
    return read_mask_file(path, label_maps=True, background=NOTHING, palette=COLORS)


def _classes(path: Path, masks: BoolArray) -> tuple[int, ...]:
    """The class that most pixels of each object have."""
    content = _read(path)
    values = np.zeros(masks.shape[1:], np.int64)
    _check_size(path, content.masks, (masks.shape[1], masks.shape[2]))
    for label, mask in zip(content.labels or (), content.masks, strict=True):
        values[mask] = label
    return tuple(int(np.bincount(values[mask]).argmax()) for mask in masks)


def _by_stem(folder: Path) -> dict[str, Path]:
    return {path.with_suffix("").as_posix(): path for path in list_images(folder)}


def _check_size(path: Path, masks: BoolArray, size: tuple[int, int]) -> None:
    if masks.shape[1:] != size:
        raise InputError(f"{printable(path)} is {masks.shape[1:]} (H, W); expected the image's {size}")
