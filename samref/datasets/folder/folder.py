"""Any images with any coarse masks: a folder of each, masks written back as they came."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samref.config.paths import InputFolder, OutputFolder
from samref.datasets.dataset import MaskDataset, MaskWriter
from samref.datasets.folder.mask_files import AUTO, MaskFile, read_mask_file
from samref.datasets.folder.matching import Names, Pairing, named, pair_files
from samref.datasets.folder.overlap import settle
from samref.datasets.folder.scaling import enlarged, reduced, same_shape
from samref.datasets.folder.writer import FolderMeta, FolderWriter, rows_of, shares_of
from samref.errors import ConfigError, DatasetError, InputError
from samref.io.colors import color_table
from samref.io.formats_seen import look_into
from samref.io.image_folder import list_images
from samref.io.images import printable
from samref.io.orientation import check_orientation, frame_sizes, read_image_of
from samref.prompts.split_then_merge import SplitThenMerge
from samref.structures import BoolArray, Failure, Refinement, Sample

if TYPE_CHECKING:
    from samref.metrics.scorers import OverlapScorer, RegionScorer

SAME, ANY = "image", "any"
LAYOUT = "images in dataset.images, masks of the same name in dataset.masks (a.jpg: a.png, or a_1.png, a_2.png, ...)"
_LABEL_MAPS = {"auto": None, True: True, False: False, "true": True, "false": False}


class Folder(MaskDataset):
    """A user's own images and masks, with or without ground truth.

    A mask file has the name of its image: `a.png` for `a.jpg`, or `a_1.png`, `a_2.png` and so on for several objects,
    in the same folders below; a word behind it (`a_mask.png`) is known or can be given. It is a binary mask of two
    values, or a label map with an object (or class) for each label. Refined files have the coarse ones' names, format,
    mode, values, palette and metadata; a mask that did not change is copied byte by byte.

    A sample's object ids are names of mask files, with `:LABEL` behind that of a label map, and `:REGION` behind it
    where split-then-merge makes several regions of a label. Its `meta` is a `FolderMeta`.

    Attributes:
        problems: files that fit nothing; they do not stop the run.
        output: where refined masks go, or None: into the run's folder.
    """

    name = "folder"

    def __init__(
        self,
        images: InputFolder | None,
        masks: InputFolder | None,
        output: OutputFolder | None = None,
        truth: InputFolder | None = None,
        label_maps: bool | str = "auto",
        threshold: float | None = None,
        background: int | str | None = AUTO,
        mask_suffix: str | None = None,
        image_suffix: str = "",
        orientation: str = "auto",
        palette: str | Sequence[Sequence[int]] | None = None,
        mask_size: str = SAME,
        stm: SplitThenMerge | None = None,
    ) -> None:
        """Pairs the files; none is read yet.

        Args:
            images: folder of the images, with any folders inside.
            masks: folder of the coarse masks.
            output: folder for the refined masks; never one of the others, nor inside them.
            truth: folder of ground truth, named and encoded as the masks are, or None: nothing is scored. Images
                without it are left out and reported.
            label_maps: `auto` (palette images with more than two values), True (every file), or False.
            threshold: gray values from here on are foreground, in masks that hold more than two values.
            background: label of the pixels that belong to nothing, or None where every pixel has a label; `auto` takes
                what the palette shows as black, and 0 without a palette.
            mask_suffix: what masks have behind their image's name, such as `_cp_masks`; files without it are left
                out. Images and masks may then be in one folder. None: nothing, or `_mask`, `_seg`, `_label` and alike.
            image_suffix: what images have behind the name that they share with their masks, such as `_0000`.
            orientation: where masks were drawn on photos with an EXIF orientation, see `read_image_of`.
            palette: of RGB masks whose colors are labels, see `color_table`; None: colors are no labels.
            mask_size: `image` (masks have their image's size) or `any` (others of its shape are scaled to it and back).
            stm: how the masks of a label map are split into regions, or None: each is refined as one.

        Raises:
            ConfigError: for another value of `label_maps`, `background`, `orientation`, `palette` or `mask_size`.
            DatasetError: for a missing folder, an output among the inputs, or if no mask belongs to any image.
        """
        if label_maps not in _LABEL_MAPS:
            raise ConfigError(f"dataset.label_maps is '{label_maps}'; expected auto, true or false")
        if isinstance(background, str) and background != AUTO:
            raise ConfigError(f"dataset.background is '{background}'; expected auto, null or a label's number")
        if mask_size not in (SAME, ANY):
            raise ConfigError(f"dataset.mask_size is '{mask_size}'; expected {SAME} or {ANY}")
        self.palette, self.scaled = color_table(palette), mask_size == ANY
        self.label_maps, self.threshold, self.background = _LABEL_MAPS[label_maps], threshold, background
        self.names, self.orientation = Names(mask_suffix, image_suffix), check_orientation(orientation)
        self.stm = stm if stm is not None and stm.enabled else None
        self.unit = "masks" if self.stm is None else "regions"
        self.images, self.masks = _folder(images, "images"), _folder(masks, "masks")
        self.truth = None if truth is None else _folder(truth, "truth")
        self.protocol = "none" if truth is None else "overlap"
        if self.images.resolve() == self.masks.resolve() and not mask_suffix:
            raise DatasetError(
                f"dataset.images and dataset.masks are one folder, {images}; expected {LAYOUT}, or "
                "dataset.mask_suffix=_mask if masks are a_mask.png beside a.jpg"
            )
        self.output = None if output is None else Path(output).expanduser()
        if self.output is not None:
            self._keep_out(self.output)
        self.warnings: list[str] = []
        self.pairings, self.problems = self._pair()

    def __len__(self) -> int:
        return len(self.pairings)

    def __getitem__(self, index: int) -> Sample:
        """Reads one image and its masks.

        Raises:
            InputError: if a file cannot be read, a mask's size is not the image's, or its values are not understood.
        """
        pairing = self.pairings[index]
        found = [self._read(self.masks / path) for path in pairing.masks]
        size = found[0].masks.shape[1:]
        for path, content in zip(pairing.masks, found, strict=True):
            other = f"another mask of its image, {printable(self.masks / pairing.masks[0])},"
            _check_size(self.masks / path, content.masks.shape[1:], other, size)
        sizes: dict[str, tuple[int, int]] = {}
        if self.scaled:
            size, sizes = self._scale(pairing, found, size)
        drawn = np.concatenate([content.masks for content in found])
        image, warnings = read_image_of(self.images / pairing.image, drawn, self.orientation)
        _check_size(self.masks / pairing.masks[0], size, _image_of(self.images / pairing.image), image.shape[:2])
        names = [(path, label) for path, f in zip(pairing.masks, found, strict=True) for label in f.objects]
        object_ids = [printable(path.name) + ("" if label is None else f":{label}") for path, label in names]
        masks, truth = drawn, self._truth(pairing, found, size)
        meta: FolderMeta = {"all_files": tuple(str(path) for path in pairing.masks), "masks_folder": str(self.masks)}
        maps = [(str(path), f) for path, f in zip(pairing.masks, found, strict=True) if f.labels is not None]
        meta |= {"backgrounds": {path: f.background for path, f in maps}, "ignored": {p: f.ignored for p, f in maps}}
        meta["sizes"] = sizes
        meta["written"] = {str(path): f.written for path, f in zip(pairing.masks, found, strict=True)}
        meta["warnings"] = (*warnings, *dict.fromkeys(warning for f in found for warning in f.warnings))
        meta["problems"] = tuple(Failure(pairing.image_id, f.problem) for f in found if f.problem is not None)
        if self.stm is not None:
            regions = [
                mask[None] if name[1] is None else self._regions(mask) for mask, name in zip(masks, names, strict=True)
            ]
            objects = np.repeat(np.arange(len(regions)), [len(parts) for parts in regions])
            meta |= {"objects": objects, "object_truth": truth}
            names, object_ids = [names[k] for k in objects], list(_numbered(object_ids, regions))
            masks, truth = np.concatenate([np.zeros((0, *size), bool), *regions]), None
        meta |= {"files": tuple(str(path) for path, _ in names), "labels": tuple(label for _, label in names)}
        return Sample(image, masks, pairing.image_id, tuple(object_ids), truth=truth, meta=meta)

    def image_id(self, index: int) -> str:
        """See `MaskDataset`: the path below the folder of images, without suffix."""
        return self.pairings[index].image_id

    def sample_files(self, index: int) -> Sequence[Path]:
        """See `MaskDataset`: image, masks and their ground truth."""
        pairing = self.pairings[index]
        truth = [] if self.truth is None else [self.truth / path for path in pairing.truth]
        return (self.images / pairing.image, *(self.masks / path for path in pairing.masks), *truth)

    def scorer(self, image_ids: Iterable[Any] | None = None) -> OverlapScorer | RegionScorer | None:
        """See `MaskDataset`: IoU and boundary IoU, of each object with all its regions."""
        from samref.metrics.scorers import OverlapScorer, RegionScorer

        if not self.scored:
            return None
        return OverlapScorer() if self.stm is None else RegionScorer()

    def outputs(self, index: int) -> tuple[Path, ...]:
        """The files that the masks of a sample are written to; nothing is read.

        Args:
            index: of the sample, from 0.

        Returns:
            Paths below the output folder.
        """
        return self.pairings[index].masks

    def writer(self, output: Path) -> MaskWriter:
        """Writes below `output` what lies below the folder of masks.

        Args:
            output: folder of the refined masks.

        Returns:
            The writer of one run.

        Raises:
            DatasetError: if that would be inside one of the folders of the input.
        """
        self._keep_out(output)
        return FolderWriter(output, self.threshold, self.palette)

    def settle(self, sample: Sample, refinement: Refinement) -> None:
        """See `MaskDataset`: a label map holds one label a pixel, and a file of another size fewer pixels."""
        for row, name in enumerate(sample.meta["files"]):
            if name in sample.meta["sizes"] and not np.array_equal(sample.masks[row], refinement.masks[row]):
                held = reduced(refinement.masks[row], sample.meta["sizes"][name])
                # What is smaller than a pixel of the file cannot be in it.
                scaled = enlarged(held[None], sample.original_size)[0] if held.any() else sample.masks[row]
                refinement.masks[row] = scaled
        for name in sample.meta["backgrounds"]:
            rows = rows_of(sample, name)
            if rows:
                settle(refinement, rows, shares_of(sample, refinement, rows))

    def _regions(self, mask: BoolArray) -> BoolArray:
        assert self.stm is not None
        regions = self.stm(mask)
        # The released rule drops specks; a label of nothing else stays one region.
        return regions if len(regions) else mask[None]

    def _pair(self) -> tuple[list[Pairing], list[Any]]:
        folders = [folder for folder in (self.images, self.masks, self.truth, self.output) if folder is not None]
        listed = [
            None if root is None else list_images(root, [folder for folder in folders if folder != root])
            for root in (self.images, self.masks, self.truth)
        ]
        images, masks, truth = listed
        assert images is not None
        assert masks is not None
        if self.names.mask_suffix:
            found = named(masks, self.names.mask_suffix, numbered=True)
            if self.images.resolve() == self.masks.resolve():
                images = [path for path in images if path not in set(found)]
            else:
                self._left_out(len(masks) - len(found), "masks", self.names.mask_suffix)
            masks = found
        if self.names.image_suffix:
            found = named(images, self.names.image_suffix)
            self._left_out(len(images) - len(found), "images", self.names.image_suffix)
            images = found
        pairings, problems = pair_files(images, masks, truth, self.names)
        if not pairings:
            raise DatasetError(
                f"no mask belongs to an image: {_examples(images, self.images)}; {_examples(masks, self.masks)}"
                + ("" if truth is None else f"; {_examples(truth, Path(str(self.truth)))}")
                + f". Expected {LAYOUT}"
                + (f"; {problems[0].reason}" if problems else "")
                + ("" if masks else _seen(self.masks))
            )
        return pairings, problems

    def _left_out(self, count: int, folder: str, suffix: str) -> None:
        if count:
            self.warnings.append(f"files in dataset.{folder} that are left out, not being named *{suffix}: {count}")

    def _scale(
        self, pairing: Pairing, found: list[MaskFile], size: tuple[int, int]
    ) -> tuple[tuple[int, int], dict[str, tuple[int, int]]]:
        """Scales masks to the image's size, in place; returns that, and the files' own sizes by path."""
        frames = frame_sizes(self.images / pairing.image)
        whole = next((frame for frame in frames if same_shape(size, frame)), None)
        if whole is None or whole == size:
            return size, {}
        for k, content in enumerate(found):
            ignored = None if content.ignored is None else enlarged(content.ignored[None], whole)[0]
            found[k] = replace(content, masks=enlarged(content.masks, whole), ignored=ignored)
        return whole, {str(path): size for path in pairing.masks}

    def _read(self, path: Path) -> MaskFile:
        return read_mask_file(path, self.label_maps, self.threshold, self.background, self.palette)

    def _truth(self, pairing: Pairing, found: list[MaskFile], size: tuple[int, int]) -> BoolArray | None:
        if self.truth is None:
            return None
        masks: list[BoolArray] = []
        for path, content in zip(pairing.truth, found, strict=True):
            labeled = content.labels is not None
            content_truth = read_mask_file(self.truth / path, labeled, self.threshold, content.background, self.palette)
            if self.scaled and same_shape(content_truth.masks.shape[1:], size):
                content_truth = replace(content_truth, masks=enlarged(content_truth.masks, size))
            _check_size(self.truth / path, content_truth.masks.shape[1:], _image_of(self.images / pairing.image), size)
            by_label = dict(zip(content_truth.objects, content_truth.masks, strict=True))
            masks += [by_label.get(label, np.zeros(size, bool)) for label in content.objects]
        return np.array(masks, dtype=bool).reshape(len(masks), *size)

    def _keep_out(self, output: Path) -> None:
        resolved = os.path.realpath(output)
        for name, folder in (("images", self.images), ("masks", self.masks), ("truth", self.truth)):
            if folder is None:
                continue
            taken = os.path.realpath(folder)
            if resolved == taken or resolved.startswith(os.path.join(taken, "")):
                raise DatasetError(
                    f"dataset.output={printable(output)} lies in dataset.{name}={printable(folder)}; "
                    "choose a folder outside, so that the input stays as it is"
                )


def _numbered(object_ids: list[str], regions: list[BoolArray]) -> Iterator[str]:
    """The id of each region: of an object of several, with its number from 1."""
    for name, parts in zip(object_ids, regions, strict=True):
        yield from [name] if len(parts) == 1 else (f"{name}:{k}" for k in range(1, len(parts) + 1))


def _folder(given: str | Path | None, option: str) -> Path:
    if given is None:
        raise DatasetError(f"dataset=folder needs dataset.{option}=DIR; expected {LAYOUT}")
    path = Path(given).expanduser()
    if not path.is_dir():
        raise DatasetError(f"dataset.{option}={printable(given)} is not a folder; expected {LAYOUT}")
    return path


def _check_size(path: Path, found: tuple[int, ...], other: str, size: tuple[int, ...]) -> None:
    if found != size:
        advice = "; dataset.mask_size=any scales it" if same_shape(found, size) else ""
        raise InputError(
            f"{printable(path)} is {found[0]} x {found[1]}, but {other} is {size[0]} x {size[1]} (height x width)"
            + advice
        )


def _image_of(path: Path) -> str:
    return f"its image {printable(path)}"


def _examples(paths: list[Path], root: Path) -> str:
    names = ", ".join(printable(path) for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
    return f"{printable(root)} holds {names or 'no image file'}"


def _seen(folder: Path) -> str:
    found = look_into(folder)
    return "" if found is None else f"; {printable(folder)} holds {found}"
