"""What a data set is: its samples, their scorer, and how refined masks are written back. The contract is all here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset

from samref.structures import BoolArray, Failure, IntArray, Refinement, Sample

if TYPE_CHECKING:
    from samref.metrics.scorers import Scorer


class MaskWriter(ABC):
    """Writes the refined masks of one run in the format in which the coarse ones came.

    Every file appears under its final name complete or not at all. A format with one file for many images keeps what it
    needs of each image until `close`; that is part of the run's resume log, so a later run need not refine the image
    again.
    """

    @abstractmethod
    def write(self, sample: Sample, refinement: Refinement) -> Any:
        """Writes one image's masks.

        Args:
            sample: of the data set.
            refinement: of its masks, N x H x W bool, image px, in the sample's order.

        Returns:
            What `close` needs of them, as JSON values; None where nothing is left to do.
        """

    def restore(self, image_id: str | int, kept: Any) -> None:  # noqa: B027 - most formats keep nothing
        """Takes what `write` returned for an image in an earlier run or in another process.

        Args:
            image_id: of the sample.
            kept: what `write` returned.
        """

    def close(self) -> None:  # noqa: B027 - most formats have nothing left to finish
        """Finishes files that hold the masks of many images, such as a COCO results json."""


class SampleMeta(TypedDict, total=False):
    """Keys of a sample's `meta` that others than its data set read, where they are there; N is the number of masks.

    A data set that keeps more there for its own writer extends this class.

    Attributes:
        problems: masks that only reading found to be damaged or empty of meaning; reports count them as failures.
        warnings: sentences on what had to be decided about the image; the screen and report.json show them.
        categories: N classes of label maps. The gallery shows the ground truth of the class, and masks of another tool
            are found by it.
        all_files: mask files of the image below the folder of masks, those without a mask, too; the page shows them.
        files: N paths below the folder of masks; masks of another tool are found by them.
        labels: N labels in these files, None for the only mask of a binary one.
        records: N COCO records, as they came; masks of another tool are found by them.
        positions: N places of the records in their file.
        objects: N indices of the objects that the masks are regions of, for `RegionScorer`.
        object_truth: M x H x W bool, ground truth of the M objects, image px, for `RegionScorer`; None without.
        coarse: H x W uint8, the label map as it came, for `SemanticScorer`.
    """

    problems: Sequence[Failure]
    warnings: Sequence[str]
    categories: Sequence[int]
    all_files: Sequence[str]
    files: Sequence[str]
    labels: Sequence[int | None]
    records: Sequence[Mapping[str, Any]]
    positions: Sequence[int]
    objects: IntArray
    object_truth: BoolArray | None
    coarse: npt.NDArray[np.uint8]


class MaskDataset(Dataset[Sample], ABC):
    """Images with coarse masks, and ground truth where there is any.

    A new data set is one file here and one yaml in `conf/dataset`. The constructor verifies the files on disk
    and raises `DatasetError` naming the path, what is missing, and the option or command that helps.
    `__getitem__` raises `InputError` for a sample whose files are bad.

    A run is known by what went in: `sample_files` and `sample_content` give what a sample is made of, and a sample of
    which neither changed is not refined again. Whatever else a data set reads is in `input_files`.

    What others read of a sample's `meta` is in `SampleMeta`.

    Attributes:
        name: option name of the config group.
        protocol: what `scorer` measures, as users read it: `overlap` (IoU, boundary IoU, top-1), `average_precision`,
            `semantic` (mIoU), `boundary_accuracy` (IoU and mBA), or `none` where there is no ground truth.
        unit: what its masks are, as they go into a refiner: `masks`, or, of label maps of classes, `categories` (all of
            one in a mask) or `regions` (of a category's mask, by split-then-merge). Reports name it as `input`.
        keep_logits: whether scorer or writer need the refined masks' logits, H x W each.
        problems: what was found wrong before any sample was read; it does not stop the run.
        warnings: sentences on what had to be decided and a person should know of, such as ids of another type; what
            concerns one sample is in its `meta["warnings"]`. The screen and report.json show all.
        output: folder for the refined masks that the user named, or None: they go into the run's folder.
    """

    name: str
    protocol: str = "overlap"
    unit: str = "masks"
    keep_logits: bool = False
    problems: Sequence[Failure] = ()
    warnings: Sequence[str] = ()
    output: Path | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    @abstractmethod
    def image_id(self, index: int) -> str | int:
        """The id of a sample without reading its files.

        Args:
            index: of the sample, from 0.

        Returns:
            Its `image_id`, unique within the data set.
        """

    @abstractmethod
    def sample_files(self, index: int) -> Sequence[Path]:
        """The files that a sample is made of.

        Args:
            index: of the sample, from 0.

        Returns:
            Image, coarse masks, ground truth; none for generated samples.
        """

    def sample_content(self, index: int) -> Any:
        """What a sample takes from `input_files` beside its id.

        Args:
            index: of the sample, from 0.

        Returns:
            JSON values, such as its COCO records; None where it takes nothing.
        """
        return None

    def object_ids(self, index: int) -> Sequence[str | int] | None:
        """Ids of a sample's masks where they are their places in one of `input_files`; None for all other ids.

        Places move when other samples come or go. They are no content of the sample: its results get the new ids.

        Args:
            index: of the sample, from 0.

        Returns:
            One id a mask, in the sample's order, or None.
        """
        return None

    def input_files(self) -> Sequence[Path]:
        """Files that the data set as one is made of.

        Returns:
            Paths of annotations, lists of names and the like.
        """
        return ()

    @property
    def scored(self) -> bool:
        """Whether there is ground truth."""
        return self.protocol != "none"

    def scorer(self, image_ids: Iterable[Any] | None = None) -> Scorer | None:
        """A new scorer of coarse and refined masks.

        Args:
            image_ids: the images of this run where it is only a part of the data set; AP must not count the ground
                truth of the others.

        Returns:
            The scorer; None where there is no ground truth.

        Raises:
            InputError: for a ground truth that cannot be scored against.
        """
        # TorchMetrics takes seconds to import, for which every process that reads images would wait.
        from samref.metrics.scorers import OverlapScorer

        return OverlapScorer() if self.scored else None

    def settle(self, sample: Sample, refinement: Refinement) -> None:
        """Makes the masks of a refinement, in place, those that the format can hold; most formats hold any.

        Everything after it - scores, files, reports, pictures - is of the same masks.

        Args:
            sample: of this data set.
            refinement: of its masks, changed in place: `masks`, `flags`, `overlap`.
        """

    @abstractmethod
    def writer(self, output: Path) -> MaskWriter:
        """A writer of refined masks in the format in which the coarse ones came.

        Args:
            output: folder; files are written below it.

        Returns:
            The writer of one run.
        """
