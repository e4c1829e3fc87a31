"""The protocol of a data set, and how its masks are written back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

from torch.utils.data import Dataset

from samref.structures import Refinement, Sample


class MaskWriter(Protocol):
    """Writes the refined masks of one run in the format in which the coarse ones came."""

    def write(self, sample: Sample, refinement: Refinement) -> None:
        """Writes one image's masks; every file appears under its final name whole or not at all."""
        ...

    def close(self) -> None:
        """Finishes files that hold the masks of many images, such as a COCO results json."""
        ...


class MaskDataset(Dataset[Sample], ABC):
    """Images with coarse masks, and ground truth where there is any.

    A new data set is one file here and one yaml in `conf/dataset`. The constructor verifies the files on disk
    and raises `DatasetError` naming the path, what is missing, and the option or command that mends it.
    `__getitem__` raises `InputError` for a sample whose files are bad.

    Attributes:
        name: option name of the config group.
        protocol: which metrics score it: `overlap` (IoU, boundary IoU, top-1), `average_precision`, `semantic`
            (mIoU), `boundary_accuracy` (IoU and mBA) or `none` (no ground truth).
    """

    name: str
    protocol: str = "overlap"

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    @abstractmethod
    def image_id(self, index: int) -> str | int:
        """The id of a sample without reading its files."""

    @abstractmethod
    def writer(self, output: Path) -> MaskWriter:
        """A writer of refined masks below the folder `output`."""
