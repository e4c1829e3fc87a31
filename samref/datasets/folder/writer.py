"""Writes refined masks under the names and in the encoding of the coarse ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from samref.datasets.dataset import MaskWriter, SampleMeta
from samref.datasets.folder.mask_files import write_binary_like, write_labels_like
from samref.datasets.folder.overlap import Shares, share_out
from samref.datasets.folder.scaling import reduced
from samref.datasets.folder.style import Style, Values
from samref.errors import InputError
from samref.io.atomic import copy_file
from samref.io.colors import ColorTable
from samref.io.images import printable
from samref.io.masks import Levels
from samref.structures import BoolArray, Refinement, Sample


class FolderMeta(SampleMeta, total=False):
    """`meta` of a folder's sample; by path below the folder of masks where it is a mapping.

    Attributes:
        masks_folder: of the coarse masks.
        all_files: the sample's mask files, those without a mask, too.
        backgrounds: label of the background of each label map, or None.
        ignored: H x W bool for each label map, pixels that stay what they are.
        written: how each binary PNG is written; None for other files.
        sizes: (H, W) of each file that has another size than its image.
    """

    masks_folder: str
    all_files: Sequence[str]
    backgrounds: Mapping[str, int | None]
    ignored: Mapping[str, BoolArray | None]
    written: Mapping[str, tuple[Style, Levels] | None]
    sizes: Mapping[str, tuple[int, int]]


class FolderWriter(MaskWriter):
    """Writes each mask file under its own name below the output, in the coarse file's encoding."""

    def __init__(self, output: Path, threshold: float | None = None, palette: ColorTable | None = None) -> None:
        """Chooses where to.

        Args:
            output: folder of the refined masks.
            threshold: by which gray masks were read.
            palette: by which RGB masks were read.
        """
        self.output, self.threshold, self.palette = output, threshold, palette

    def write(self, sample: Sample, refinement: Refinement) -> None:
        """Writes one image's mask files."""
        coarse = Path(sample.meta["masks_folder"])
        forbidden = os.path.join(os.path.realpath(coarse), "")
        for name in sample.meta["all_files"]:
            rows = rows_of(sample, name)
            source, target = coarse / name, self.output / name
            if os.path.realpath(target).startswith(forbidden):
                raise InputError(f"{printable(target)} is among the coarse masks; choose another dataset.output")
            if all(np.array_equal(sample.masks[row], refinement.masks[row]) for row in rows):
                copy_file(source, target)
            elif sample.meta["labels"][rows[0]] is None:
                mask = reduced(refinement.masks[rows[0]], sample.meta["sizes"].get(name, sample.original_size))
                self._write_binary(source, target, sample.meta["written"].get(name), mask)
            else:
                self._write_labels(source, target, sample, refinement, rows)

    def _write_binary(self, source: Path, target: Path, written: tuple[Style, Levels] | None, mask: BoolArray) -> None:
        if written is None:
            write_binary_like(source, target, mask, self.threshold)
        else:
            style, levels = written
            style.save(target, levels.stored(mask))

    def _write_labels(
        self, source: Path, target: Path, sample: Sample, refinement: Refinement, rows: Sequence[int]
    ) -> None:
        shares, name = shares_of(sample, refinement, rows), sample.meta["files"][rows[0]]
        size = sample.meta["sizes"].get(name, sample.original_size)

        def paint(values: Values) -> None:
            for row, mask in zip(rows, shares.masks, strict=True):
                values[reduced(mask, size)] = sample.meta["labels"][row]

        write_labels_like(source, target, paint, sample.meta["backgrounds"][name], self.palette)


def rows_of(sample: Sample, name: str) -> list[int]:
    """Which of a sample's masks are in a file."""
    return [row for row, file in enumerate(sample.meta["files"]) if file == name]


def shares_of(sample: Sample, refinement: Refinement, rows: Sequence[int]) -> Shares:
    """The masks of one label map as it can hold them."""
    name = sample.meta["files"][rows[0]]
    return share_out(
        sample.masks,
        refinement,
        rows,
        [sample.meta["labels"][row] for row in rows],
        sample.meta["ignored"][name],
        sample.meta["backgrounds"][name] is not None,
    )
