"""DAVIS-585 (FocalClick's defects) and DAVIS 2016/2017 (defects simulated here)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samref.config.paths import InputFolder, OutputFolder
from samref.datasets.dataset import MaskDataset, MaskWriter
from samref.datasets.simulated import Defects
from samref.errors import ConfigError, DatasetError, InputError
from samref.io.atomic import write_png
from samref.io.images import read_image
from samref.io.lists import read_lines
from samref.io.masks import read_labels, read_mask
from samref.structures import BoolArray, Refinement, Sample

DAVIS585_SOURCE = "DAVIS-585 comes with FocalClick (github.com/XavierCHEN34/ClickSEG)"
DAVIS_SOURCE = "DAVIS comes from davischallenge.org (480p)"
THRESHOLD = 128


class Davis585(MaskDataset):
    """DAVIS-585: frames with ground truth and coarse masks side by side, one sample a frame.

    Layout: `<root>/<sequence>/00009.jpg`, `object1_00009.png` (truth) and `init_sp_object1_00009.png` or
    `init_stm_object1_00009.png` (coarse), several objects a frame; PNGs are read with threshold 128.
    """

    name = "davis585"
    protocol = "overlap"

    def __init__(
        self,
        root: InputFolder | None,
        init: str = "sp",
        sequences: Sequence[str] | str | None = None,
        defects: str | None = None,
        strengths: Mapping[str, Any] | None = None,
        seed: int = 0,
        cache: OutputFolder | None = None,
    ) -> None:
        """Finds and checks the files.

        Args:
            root: folder of the sequences.
            init: which coarse masks: `sp` (super-pixel defects, the paper's) or `stm`.
            sequences: only these, or None for all.
            defects: kind of coarse masks made from the truth in place of those on disk, see
                `samref.datasets.coarse_kinds`; None: those on disk.
            strengths: how strong these defects are.
            seed: of the defects.
            cache: folder that keeps super-pixel defects, or None.

        Raises:
            DatasetError: if the folder or files in it are missing.
        """
        if init not in ("sp", "stm"):
            raise ConfigError(f"dataset.init is '{init}'; expected sp or stm")
        layout = "<sequence>/00009.jpg, object1_00009.png and init_sp_object1_00009.png"
        self.root = existing_root(root, self.name, layout, DAVIS585_SOURCE)
        self.init = init
        self.defects = Defects.of(defects, seed, strengths, cache)
        folders = sorted(path for path in self.root.iterdir() if path.is_dir())
        if sequences is not None:
            folders = _named(self.root, folders, sequences)
        self.frames = [frame for folder in folders for frame in sorted(folder.glob("*.jpg"))]
        _demand_frames(folders)
        self.objects = [_objects(frame, init) for frame in self.frames]
        kept = [index for index, objects in enumerate(self.objects) if objects]
        self.frames, self.objects = [self.frames[i] for i in kept], [self.objects[i] for i in kept]
        if not self.frames:
            raise DatasetError(f"{self.root} holds no frame with ground truth; expected {layout}. {DAVIS585_SOURCE}")

    def __len__(self) -> int:
        return len(self.frames)

    def image_id(self, index: int) -> str:
        """`sequence/frame`."""
        return f"{self.frames[index].parent.name}/{self.frames[index].stem}"

    def __getitem__(self, index: int) -> Sample:
        frame, objects = self.frames[index], self.objects[index]
        image = read_image(frame)
        size = (image.shape[0], image.shape[1])
        truth = [_mask(frame.parent / f"{name}_{frame.stem}.png", size) for name in objects]
        coarse = [_mask(frame.parent / self._coarse_name(name, frame.stem), size) for name in objects]
        sample = Sample(image, np.stack(coarse), self.image_id(index), objects, truth=np.stack(truth))
        return sample if self.defects is None else self.defects.applied(sample)

    def sample_files(self, index: int) -> Sequence[Path]:
        """Frame, and coarse mask and truth of each object."""
        frame = self.frames[index]
        names = [
            name for k in self.objects[index] for name in (self._coarse_name(k, frame.stem), f"{k}_{frame.stem}.png")
        ]
        return (frame, *(frame.parent / name for name in names))

    def writer(self, output: Path) -> MaskWriter:
        """Writes `<sequence>/init_sp_object1_00009.png`, named and encoded as the coarse masks are."""
        return FrameWriter(output, f"init_{self.init}_")

    def _coarse_name(self, name: str, stem: str) -> str:
        return f"init_{self.init}_{name}_{stem}.png"


class Davis(MaskDataset):
    """DAVIS 2016 or 2017 validation (or any split) with simulated defects, one sample a frame.

    Layout: `JPEGImages/480p/<sequence>/*.jpg`, `Annotations/480p/<sequence>/*.png` and
    `ImageSets/<year>/<split>.txt` (2016 also `ImageSets/480p`). In 2017 the palette index is the object; in 2016
    everything above 0 is one object.
    """

    name = "davis"
    protocol = "overlap"

    def __init__(
        self,
        root: InputFolder | None,
        year: int = 2017,
        split: str = "val",
        every: int = 1,
        seed: int = 0,
        cache: OutputFolder | None = None,
        defects: str = "superpixel",
        strengths: Mapping[str, Any] | None = None,
    ) -> None:
        """Finds and checks the files.

        Args:
            root: folder with `JPEGImages`, `Annotations` and `ImageSets`.
            year: 2016 or 2017.
            split: name of the list in `ImageSets/<year>`.
            every: only every so-many-th frame of a sequence.
            seed: of the simulated defects.
            cache: folder that keeps super-pixel defects, so that the jobs of a sweep make them once; or None.
            defects: kind of coarse masks, see `samref.datasets.coarse_kinds`.
            strengths: how strong the defects are.

        Raises:
            DatasetError: if the folder or files in it are missing.
        """
        if year not in (2016, 2017):
            raise ConfigError(f"dataset.year is {year}; expected 2016 or 2017")
        if every < 1:
            raise ConfigError(f"dataset.every is {every}; expected at least 1, which is every frame")
        layout = f"JPEGImages/480p, Annotations/480p and ImageSets/{year}/{split}.txt"
        self.root = existing_root(root, self.name, layout, DAVIS_SOURCE)
        self.year = year
        self.defects = Defects(defects, seed, strengths, cache)
        listed = self.root / "ImageSets" / str(year) / f"{split}.txt"
        if year == 2016 and not listed.is_file():
            # The first edition's own archive names this folder by resolution.
            listed = self.root / "ImageSets" / "480p" / f"{split}.txt"
        for path in (self.root / "JPEGImages" / "480p", self.root / "Annotations" / "480p", listed):
            if not path.exists():
                raise DatasetError(
                    f"{path} is not there; dataset=davis expects {layout} in dataset.root. {DAVIS_SOURCE}"
                )
        sequences = _sequences(listed)
        self._listed = listed
        self.frames = [frame for name in sequences for frame in self._frames(name)[::every]]
        if not self.frames:
            raise DatasetError(f"{listed} names no sequence that has annotated frames. {DAVIS_SOURCE}")

    def __len__(self) -> int:
        return len(self.frames)

    def image_id(self, index: int) -> str:
        """`sequence/frame`."""
        return f"{self.frames[index].parent.name}/{self.frames[index].stem}"

    def __getitem__(self, index: int) -> Sample:
        frame, image_id = self.frames[index], self.image_id(index)
        image = read_image(frame)
        labels = read_labels(self._annotation(frame))
        check_size(self._annotation(frame), (labels.shape[0], labels.shape[1]), (image.shape[0], image.shape[1]))
        ids = tuple(int(k) for k in np.unique(labels) if k not in (0, 255)) if self.year == 2017 else (1,)
        truth = [labels == k if self.year == 2017 else labels > 0 for k in ids]
        true_masks = np.array(truth, dtype=bool).reshape(len(ids), image.shape[0], image.shape[1])
        masks = self.defects.named(image, true_masks, image_id, ids)
        return Sample(image, masks, image_id, tuple(f"object{k}" for k in ids), truth=true_masks)

    def sample_files(self, index: int) -> Sequence[Path]:
        """Frame and annotation."""
        return self.frames[index], self._annotation(self.frames[index])

    def input_files(self) -> Sequence[Path]:
        """The list of sequences."""
        return (self._listed,)

    def writer(self, output: Path) -> MaskWriter:
        """Writes `<sequence>/object1_00009.png`, 0/255."""
        return FrameWriter(output, "")

    def _frames(self, sequence: str) -> list[Path]:
        frames = sorted((self.root / "JPEGImages" / "480p" / sequence).glob("*.jpg"))
        return [frame for frame in frames if self._annotation(frame).is_file()]

    def _annotation(self, frame: Path) -> Path:
        return self.root / "Annotations" / "480p" / frame.parent.name / f"{frame.stem}.png"


class FrameWriter(MaskWriter):
    """Writes the masks of a frame as `<sequence>/<prefix><object>_<frame>.png`, 0/255."""

    def __init__(self, output: Path, prefix: str) -> None:
        self.output, self.prefix = output, prefix

    def write(self, sample: Sample, refinement: Refinement) -> None:
        """Writes one frame's masks."""
        sequence, stem = str(sample.image_id).split("/")
        for name, mask in zip(sample.object_ids, refinement.masks, strict=True):
            write_png(self.output / sequence / f"{self.prefix}{name}_{stem}.png", mask.astype(np.uint8) * 255)


def existing_root(root: InputFolder | None, name: str, layout: str, source: str) -> Path:
    """The folder of a data set, or a `DatasetError` that names what belongs there and where it comes from."""
    if root is None:
        raise DatasetError(f"dataset={name} needs dataset.root=DIR, a folder with {layout}. {source}")
    path = Path(root).expanduser()
    if not path.is_dir():
        raise DatasetError(f"dataset.root={root} is not a folder; dataset={name} expects one with {layout}. {source}")
    return path


def check_size(path: Path, found: tuple[int, int], expected: tuple[int, int]) -> None:
    """Raises `InputError` when a mask's (H, W) is not its image's."""
    if found != expected:
        raise InputError(
            f"{path} is {found[0]} x {found[1]}, but its image is {expected[0]} x {expected[1]} (height x width)"
        )


def _mask(path: Path, size: tuple[int, int]) -> BoolArray:
    mask = read_mask(path, THRESHOLD)
    check_size(path, (mask.shape[0], mask.shape[1]), size)
    return mask


def _objects(frame: Path, init: str) -> tuple[str, ...]:
    """Names of a frame's objects, in numerical order; every one must have its coarse mask."""
    named = (re.fullmatch(rf"(object(\d+))_{re.escape(frame.stem)}", p.stem) for p in frame.parent.glob("object*.png"))
    objects = [match[1] for match in sorted((m for m in named if m), key=lambda match: int(match[2]))]
    for name in objects:
        coarse = frame.parent / f"init_{init}_{name}_{frame.stem}.png"
        if not coarse.is_file():
            raise DatasetError(f"{coarse} is not there, though its ground truth is; choose dataset.init=sp or stm")
    return tuple(objects)


def _demand_frames(folders: list[Path]) -> None:
    for folder in folders:
        for truth in sorted(folder.glob("object*_*.png")):
            frame = folder / f"{truth.stem.partition('_')[2]}.jpg"
            if not os.path.lexists(frame):
                raise DatasetError(f"{frame} is not there, though its ground truth {truth.name} is; copy it there")


def _named(root: Path, folders: list[Path], sequences: Sequence[str] | str) -> list[Path]:
    sequences = [sequences] if isinstance(sequences, str) else sequences
    missing = sorted(set(sequences) - {folder.name for folder in folders})
    if missing:
        raise DatasetError(f"{root} has no sequence {', '.join(missing)}; check dataset.sequences")
    return [folder for folder in folders if folder.name in set(sequences)]


def _sequences(listed: Path) -> list[str]:
    """Sequence names of an ImageSets list: DAVIS 2017 lists names, DAVIS 2016 pairs of file paths."""
    lines = read_lines(listed)
    names = [Path(words[0]).parent.name if len(words) > 1 or "/" in words[0] else words[0] for words in lines]
    return list(dict.fromkeys(names))
