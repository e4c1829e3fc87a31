"""Scorers, which data sets name: which metrics an image goes to, and what it adds to the table of samples."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from torch import nn

from samref.errors import DatasetError
from samref.geometry.masks import pair_iou
from samref.io.coco_files import read_json
from samref.metrics.average_precision import AveragePrecision
from samref.metrics.boundary_accuracy import BoundaryAccuracy, boundary_accuracy
from samref.metrics.coco_records import check_ground_truth
from samref.metrics.harm import Harm
from samref.metrics.overlap import Overlap, OverlapCounts, overlap_per_mask
from samref.metrics.selection_accuracy import SelectionAccuracy
from samref.metrics.semantic import SemanticIoU, confusion_matrix
from samref.structures import BoolArray, FloatArray, Refinement, Sample

Columns = dict[str, Any]
Scores = dict[str, dict[str, float]]


class Measured(NamedTuple):
    """What a scorer finds out about one image.

    Attributes:
        columns: for the table of samples, each with one entry a mask.
        counts: what the image adds to the scores, as JSON values: the run's resume log keeps them.
    """

    columns: Columns
    counts: Any


class Scorer(ABC):
    """Scores the coarse and the refined masks of a data set."""

    @abstractmethod
    def measure(self, sample: Sample, refinement: Refinement) -> Measured:
        """Compares one image's masks with the ground truth; nothing is added yet.

        Args:
            sample: with its coarse masks and ground truth.
            refinement: of its masks.

        Returns:
            Columns for the table of samples, and counts for `add`.
        """

    @abstractmethod
    def add(self, counts: Any) -> None:
        """Adds one image.

        Args:
            counts: what `measure` returned of it, in this run or in an earlier one.
        """

    @abstractmethod
    def compute(self) -> Scores:
        """Metrics of all images so far, over all processes.

        Returns:
            `{"coarse": {...}, "refined": {...}}`, fractions by metric.
        """

    def update(self, sample: Sample, refinement: Refinement) -> Columns:
        """Measures and adds one image.

        Args:
            sample: with its coarse masks and ground truth.
            refinement: of its masks.

        Returns:
            Columns for the table of samples, each with one entry a mask.
        """
        measured = self.measure(sample, refinement)
        self.add(measured.counts)
        return measured.columns


class OverlapScorer(nn.Module, Scorer):
    """IoU, mean IoU, boundary IoU, harm and, for refiners that choose among candidates, their rule's top-1 accuracy."""

    def __init__(self) -> None:
        super().__init__()
        self.coarse, self.refined, self.harm, self.top1 = Overlap(), Overlap(), Harm(), SelectionAccuracy()

    def measure(self, sample: Sample, refinement: Refinement) -> Measured:
        """See `Scorer`."""
        columns, counts = compare(sample.masks, refinement.masks, _truth(sample))
        if refinement.candidate_iou is not None:
            # Of an empty mask there are no candidates, and SAM's single mask (-1) is none of the three.
            among = (refinement.chosen >= 0) & ~np.isnan(refinement.candidate_iou).any(axis=1)
            counts |= {"choice": [refinement.chosen[among].tolist(), refinement.candidate_iou[among].tolist()]}
            columns |= {f"candidate_iou_{k}": refinement.candidate_iou[:, k] for k in range(3)}
        return Measured(columns, counts)

    def add(self, counts: Any) -> None:
        """See `Scorer`."""
        coarse, refined = (as_overlap_counts(counts[part]) for part in ("coarse", "refined"))
        self.coarse.update(counts=coarse)
        self.refined.update(counts=refined)
        self.harm.update(coarse["iou"], refined["iou"])
        # Without candidates there is nothing to count; torchmetrics warns of a metric without an update.
        chosen, candidate_iou = counts.get("choice", ([], []))
        self.top1.update(np.array(chosen, np.int64), np.array(candidate_iou, np.float64).reshape(-1, 3))

    def compute(self) -> Scores:
        """See `Scorer`."""
        # Computed on every process alike, because it is where they exchange their counts.
        top1 = self.top1.compute()
        refined = {
            **self.refined.compute(),
            **self.harm.compute(),
            **(top1 if not math.isnan(top1["top1_acc"]) else {}),
        }
        return {"coarse": self.coarse.compute(), "refined": refined}


class RegionScorer(OverlapScorer):
    """As `OverlapScorer`, for objects that are refined region by region: the regions of an object are joined first.

    Reads `meta` of a sample: `objects`, N indices of the objects that the masks are regions of, and `object_truth`,
    M x H x W bool.
    """

    def measure(self, sample: Sample, refinement: Refinement) -> Measured:
        """See `Scorer`; every region has its object's numbers."""
        objects, truth = sample.meta["objects"], sample.meta["object_truth"]
        coarse, refined = np.zeros_like(truth), np.zeros_like(truth)
        for index, before, after in zip(objects, sample.masks, refinement.masks, strict=True):
            coarse[index] |= before
            refined[index] |= after
        columns, counts = compare(coarse, refined, truth)
        return Measured({name: values[objects] for name, values in columns.items()}, counts)


class AveragePrecisionScorer(Scorer):
    """AP of boxes, masks and boundaries, before and after, from run lengths; AP of the box prompts. All at the end."""

    def __init__(
        self,
        ground_truth: Path,
        protocol: str,
        image_ids: Iterable[Any] | None,
        results: Callable[[Sample, BoolArray], list[dict[str, Any]]],
    ) -> None:
        """Checks the ground truth.

        Args:
            ground_truth: annotations file.
            protocol: `coco`, `lvis` or `class_agnostic`.
            image_ids: the images that count; all where None.
            results: the N x H x W masks of a sample as COCO results.

        Raises:
            InputError: for a ground truth that cannot be scored against.
        """
        # Read at the end of a run; damage in it must show before the run.
        check_ground_truth(read_json(ground_truth, "dataset.annotations"))
        self.results = results
        ids = None if image_ids is None else list(image_ids)
        self.coarse, self.refined = (AveragePrecision(ground_truth, protocol=protocol, image_ids=ids) for _ in range(2))
        self.prompted = AveragePrecision(ground_truth, ("bbox",), protocol, ids)

    def measure(self, sample: Sample, refinement: Refinement) -> Measured:
        """See `Scorer`."""
        results = {"coarse": self.results(sample, sample.masks), "refined": self.results(sample, refinement.masks)}
        results["prompts"] = _as_boxes(results["coarse"], refinement.prompts.boxes)
        return Measured({"change_iou": changed(sample, refinement)}, results)

    def add(self, counts: Any) -> None:
        """See `Scorer`; the counts are COCO results."""
        self.coarse.update(counts["coarse"])
        self.refined.update(counts["refined"])
        self.prompted.update(counts["prompts"])

    def compute(self) -> Scores:
        """See `Scorer`; `ap_prompt_box` is missing where no boxes were prompted with."""
        scores = {"coarse": self.coarse.compute(), "refined": self.refined.compute()}
        boxes = self.prompted.gathered()
        if boxes:
            scores["refined"]["ap_prompt_box"] = self.prompted.score(boxes)["ap_box"]
        return scores


class SemanticScorer(nn.Module, Scorer):
    """mIoU of label maps: the coarse one as it came, and the refined regions merged again."""

    def __init__(self, merge: Callable[[Sample, BoolArray, FloatArray | None], Any]) -> None:
        """Prepares the metrics.

        Args:
            merge: from a sample, its N x H x W masks and their logits, or None, to H x W labels.
        """
        super().__init__()
        self.merge = merge
        self.coarse, self.refined = SemanticIoU(), SemanticIoU()

    def measure(self, sample: Sample, refinement: Refinement) -> Measured:
        """See `Scorer`."""
        if sample.label_map is None:
            raise DatasetError(f"image {sample.image_id} has no true label map, which mIoU is measured with")
        labels = {
            "coarse": sample.meta["coarse"],
            "refined": self.merge(sample, refinement.masks, refinement.logits),
        }
        counts = {
            part: confusion_matrix(found, sample.label_map, self.refined.num_classes).tolist()
            for part, found in labels.items()
        }
        return Measured({"change_iou": changed(sample, refinement)}, counts)

    def add(self, counts: Any) -> None:
        """See `Scorer`."""
        self.coarse.update(counts=np.array(counts["coarse"], np.int64))
        self.refined.update(counts=np.array(counts["refined"], np.int64))

    def compute(self) -> Scores:
        """See `Scorer`."""
        return {"coarse": self.coarse.compute(), "refined": self.refined.compute()}


class BoundaryScorer(nn.Module, Scorer):
    """IoU and mean boundary accuracy of high-resolution masks."""

    def __init__(self) -> None:
        super().__init__()
        self.overlap = OverlapScorer()
        self.coarse, self.refined = BoundaryAccuracy(), BoundaryAccuracy()

    def measure(self, sample: Sample, refinement: Refinement) -> Measured:
        """See `Scorer`."""
        columns, overlap = self.overlap.measure(sample, refinement)
        truth = _truth(sample)
        accuracies = [boundary_accuracy(masks, truth).tolist() for masks in (sample.masks, refinement.masks)]
        return Measured(columns, {"overlap": overlap, "accuracies": accuracies})

    def add(self, counts: Any) -> None:
        """See `Scorer`."""
        self.overlap.add(counts["overlap"])
        coarse, refined = (np.array(values, np.float64) for values in counts["accuracies"])
        self.coarse.update(accuracies=coarse)
        self.refined.update(accuracies=refined)

    def compute(self) -> Scores:
        """See `Scorer`."""
        scores = self.overlap.compute()
        scores["coarse"] |= self.coarse.compute()
        scores["refined"] |= self.refined.compute()
        return scores


def compare(coarse_masks: BoolArray, refined_masks: BoolArray, truth: BoolArray) -> Measured:
    """Overlap of N coarse and refined masks with their ground truth.

    Args:
        coarse_masks: N x H x W bool, image px.
        refined_masks: N x H x W bool, image px.
        truth: N x H x W bool, image px.

    Returns:
        IoU and boundary IoU before and after as columns, and pixel counts.
    """
    coarse, refined = overlap_per_mask(coarse_masks, truth), overlap_per_mask(refined_masks, truth)
    columns = {**_overlap_columns("coarse", coarse), **_overlap_columns("refined", refined)}
    return Measured(columns, {"coarse": _plain(coarse), "refined": _plain(refined)})


def as_overlap_counts(plain: Mapping[str, Any]) -> OverlapCounts:
    """The counts of `overlap_per_mask` from JSON values.

    Args:
        plain: lists by key of `OverlapCounts`.

    Returns:
        Arrays of the types that `OverlapCounts` names.
    """
    arrays = {name: np.array(values, np.float64 if "iou" in name else np.int64) for name, values in plain.items()}
    return cast(OverlapCounts, arrays)


def changed(sample: Sample, refinement: Refinement) -> list[float]:
    """How much masks changed, for data sets that have no truth per mask.

    Args:
        sample: with its N coarse masks.
        refinement: of them.

    Returns:
        N IoUs of refined masks with their coarse ones.
    """
    return [pair_iou(coarse, refined) for coarse, refined in zip(sample.masks, refinement.masks, strict=True)]


def _as_boxes(results: list[dict[str, Any]], boxes: FloatArray | None) -> list[dict[str, Any]]:
    """COCO results of N masks with N x 4 boxes (image px, both ends inclusive; NaN: none) in place of the masks."""
    if boxes is None:
        return []
    size = boxes[:, 2:] - boxes[:, :2] + 1
    return [
        {
            "bbox": [*corner.tolist(), *side.tolist()],
            **{key: result[key] for key in ("image_id", "category_id", "score")},
        }
        for result, corner, side in zip(results, boxes[:, :2], size, strict=True)
        if not np.isnan(side).any()
    ]


def _truth(sample: Sample) -> Any:
    if sample.truth is None:
        raise DatasetError(f"image {sample.image_id} has no ground truth; this data set is scored by overlap with it")
    return sample.truth


def _overlap_columns(prefix: str, counts: OverlapCounts) -> Columns:
    return {f"{prefix}_iou": counts["iou"], f"{prefix}_boundary_iou": counts["boundary_iou"]}


def _plain(counts: OverlapCounts) -> dict[str, Any]:
    return {name: values.tolist() for name, values in cast(Mapping[str, Any], counts).items()}
