"""Scorers, which data sets name: which metrics an image goes to, and what it adds to the table of samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import nn

from samref.errors import DatasetError
from samref.geometry.masks import pair_iou
from samref.io.coco_files import read_json
from samref.metrics.average_precision import AveragePrecision
from samref.metrics.boundary_accuracy import BoundaryAccuracy
from samref.metrics.coco_records import check_ground_truth
from samref.metrics.harm import Harm
from samref.metrics.overlap import Overlap, OverlapCounts, overlap_per_mask
from samref.metrics.selection_accuracy import SelectionAccuracy
from samref.metrics.semantic import SemanticIoU
from samref.structures import BoolArray, FloatArray, Refinement, Sample

Columns = dict[str, Any]
Scores = dict[str, dict[str, float]]


class Scorer(Protocol):
    """Scores the coarse and the refined masks of a data set."""

    def update(self, sample: Sample, refinement: Refinement) -> Columns:
        """Adds one image; returns columns for the table of samples, each with one entry a mask."""
        ...

    def compute(self) -> Scores:
        """`{"coarse": {...}, "refined": {...}}`, fractions, over all processes."""
        ...


class OverlapScorer(nn.Module):
    """IoU, mean IoU, boundary IoU, harm and, for refiners that choose among candidates, their rule's top-1 accuracy."""

    def __init__(self) -> None:
        super().__init__()
        self.coarse, self.refined, self.harm, self.top1 = Overlap(), Overlap(), Harm(), SelectionAccuracy()

    def update(self, sample: Sample, refinement: Refinement) -> Columns:
        """See `Scorer`."""
        columns = self.compare(sample.masks, refinement.masks, _truth(sample))
        if refinement.candidate_iou is not None:
            # Of an empty mask there are no candidates, and SAM's single mask (-1) is none of the three.
            among = (refinement.chosen >= 0) & ~np.isnan(refinement.candidate_iou).any(axis=1)
            self.top1.update(refinement.chosen[among], refinement.candidate_iou[among])
            columns |= {f"candidate_iou_{k}": refinement.candidate_iou[:, k] for k in range(3)}
        return columns

    def compare(self, coarse_masks: BoolArray, refined_masks: BoolArray, truth: BoolArray) -> Columns:
        """Adds N coarse and refined masks with their ground truth, N x H x W bool each; returns columns."""
        coarse, refined = overlap_per_mask(coarse_masks, truth), overlap_per_mask(refined_masks, truth)
        self.coarse.update(counts=coarse)
        self.refined.update(counts=refined)
        self.harm.update(coarse["iou"], refined["iou"])
        # Without candidates there is nothing to count; torchmetrics warns of a metric without an update.
        self.top1.update(np.zeros(0), np.zeros((0, 3)))
        return {**_overlap_columns("coarse", coarse), **_overlap_columns("refined", refined)}

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

    def update(self, sample: Sample, refinement: Refinement) -> Columns:
        """See `Scorer`; every region has its object's numbers."""
        objects, truth = sample.meta["objects"], sample.meta["object_truth"]
        coarse, refined = np.zeros_like(truth), np.zeros_like(truth)
        for index, before, after in zip(objects, sample.masks, refinement.masks, strict=True):
            coarse[index] |= before
            refined[index] |= after
        return {name: values[objects] for name, values in self.compare(coarse, refined, truth).items()}


class AveragePrecisionScorer:
    """AP of boxes, masks and boundaries, before and after; both from run lengths, evaluated at the end."""

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
            protocol: `coco` or `lvis`.
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

    def update(self, sample: Sample, refinement: Refinement) -> Columns:
        """See `Scorer`."""
        self.coarse.update(self.results(sample, sample.masks))
        self.refined.update(self.results(sample, refinement.masks))
        return {"change_iou": changed(sample, refinement)}

    def compute(self) -> Scores:
        """See `Scorer`."""
        return {"coarse": self.coarse.compute(), "refined": self.refined.compute()}


class SemanticScorer(nn.Module):
    """mIoU of label maps: the coarse one as it came, and the refined regions merged again."""

    def __init__(self, merge: Callable[[Sample, BoolArray, FloatArray | None], Any]) -> None:
        """Prepares the metrics.

        Args:
            merge: from a sample, its N x H x W masks and their logits, or None, to H x W labels.
        """
        super().__init__()
        self.merge = merge
        self.coarse, self.refined = SemanticIoU(), SemanticIoU()

    def update(self, sample: Sample, refinement: Refinement) -> Columns:
        """See `Scorer`."""
        if sample.label_map is None:
            raise DatasetError(f"image {sample.image_id} has no true label map, which mIoU is measured with")
        self.coarse.update(sample.meta["coarse"], sample.label_map)
        self.refined.update(self.merge(sample, refinement.masks, refinement.logits), sample.label_map)
        return {"change_iou": changed(sample, refinement)}

    def compute(self) -> Scores:
        """See `Scorer`."""
        return {"coarse": self.coarse.compute(), "refined": self.refined.compute()}


class BoundaryScorer(nn.Module):
    """IoU and mean boundary accuracy of high-resolution masks."""

    def __init__(self) -> None:
        super().__init__()
        self.overlap = OverlapScorer()
        self.coarse, self.refined = BoundaryAccuracy(), BoundaryAccuracy()

    def update(self, sample: Sample, refinement: Refinement) -> Columns:
        """See `Scorer`."""
        columns = self.overlap.update(sample, refinement)
        self.coarse.update(sample.masks, _truth(sample))
        self.refined.update(refinement.masks, _truth(sample))
        return columns

    def compute(self) -> Scores:
        """See `Scorer`."""
        scores = self.overlap.compute()
        scores["coarse"] |= self.coarse.compute()
        scores["refined"] |= self.refined.compute()
        return scores


def changed(sample: Sample, refinement: Refinement) -> list[float]:
    """IoU of each refined mask with its coarse one, for data sets that have no truth per mask."""
    return [pair_iou(coarse, refined) for coarse, refined in zip(sample.masks, refinement.masks, strict=True)]


def _truth(sample: Sample) -> Any:
    if sample.truth is None:
        raise DatasetError(f"image {sample.image_id} has no ground truth; this data set is scored by overlap with it")
    return sample.truth


def _overlap_columns(prefix: str, counts: OverlapCounts) -> Columns:
    return {f"{prefix}_iou": counts["iou"], f"{prefix}_boundary_iou": counts["boundary_iou"]}
