"""How each protocol scores an image: which metrics see it, and what it adds to the table of samples."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from torch import nn

from samref.datasets.dataset import MaskDataset
from samref.errors import DatasetError
from samref.geometry.masks import pair_iou
from samref.io.coco_files import read_json
from samref.metrics.average_precision import AveragePrecision
from samref.metrics.boundary_accuracy import BoundaryAccuracy
from samref.metrics.coco_records import check_ground_truth
from samref.metrics.overlap import Overlap, OverlapCounts, overlap_per_mask
from samref.metrics.selection_accuracy import SelectionAccuracy
from samref.metrics.semantic import SemanticIoU
from samref.structures import Refinement, Sample

Columns = dict[str, Any]
Scores = dict[str, dict[str, float]]


class Scorer(Protocol):
    """Scores coarse and refined masks of a data set by its protocol."""

    def update(self, sample: Sample, refinement: Refinement) -> Columns:
        """Adds one image; returns columns for the table of samples, each with one entry a mask."""
        ...

    def compute(self) -> Scores:
        """`{"coarse": {...}, "refined": {...}}`, fractions, over all processes."""
        ...


class OverlapScorer(nn.Module):
    """IoU, mean IoU, boundary IoU and, for refiners that choose among candidates, top-1 accuracy."""

    def __init__(self) -> None:
        super().__init__()
        self.coarse, self.refined, self.top1 = Overlap(), Overlap(), SelectionAccuracy()

    def update(self, sample: Sample, refinement: Refinement) -> Columns:
        """See `Scorer`."""
        truth = _truth(sample)
        coarse, refined = overlap_per_mask(sample.masks, truth), overlap_per_mask(refinement.masks, truth)
        self.coarse.update(counts=coarse)
        self.refined.update(counts=refined)
        columns = {**_overlap_columns("coarse", coarse), **_overlap_columns("refined", refined)}
        if refinement.candidate_iou is None:
            # Without candidates there is nothing to count; torchmetrics warns of a metric that was never told so.
            self.top1.update(np.zeros((0, 3)), np.zeros((0, 3)))
        else:
            decoded = ~np.isnan(refinement.candidate_iou).any(axis=1)
            self.top1.update(refinement.iou_predictions[decoded], refinement.candidate_iou[decoded])
            columns |= {f"candidate_iou_{k}": refinement.candidate_iou[:, k] for k in range(3)}
        return columns

    def compute(self) -> Scores:
        """See `Scorer`."""
        # Computed on every process alike, because it is where they exchange their counts.
        top1 = self.top1.compute()
        refined = {**self.refined.compute(), **(top1 if not math.isnan(top1["top1_acc"]) else {})}
        return {"coarse": self.coarse.compute(), "refined": refined}


class AveragePrecisionScorer:
    """AP of boxes, masks and boundaries, before and after; both from run lengths, evaluated at the end."""

    def __init__(self, dataset: Any, image_ids: Iterable[Any] | None) -> None:
        self.dataset = dataset
        # Read at the end of a run; damage in it must show before the run.
        check_ground_truth(read_json(dataset.ground_truth, "dataset.annotations"))
        ids = None if image_ids is None else list(image_ids)
        self.coarse, self.refined = (
            AveragePrecision(dataset.ground_truth, protocol=dataset.eval_protocol, image_ids=ids) for _ in range(2)
        )

    def update(self, sample: Sample, refinement: Refinement) -> Columns:
        """See `Scorer`."""
        self.coarse.update(self.dataset.results(sample, sample.masks))
        self.refined.update(self.dataset.results(sample, refinement.masks))
        return {"change_iou": changed(sample, refinement)}

    def compute(self) -> Scores:
        """See `Scorer`."""
        return {"coarse": self.coarse.compute(), "refined": self.refined.compute()}


class SemanticScorer(nn.Module):
    """mIoU of label maps: the coarse one as it came, and the refined regions merged again."""

    def __init__(self, dataset: Any) -> None:
        super().__init__()
        self.merge = dataset.merge
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


def scorer_for(dataset: MaskDataset, image_ids: Iterable[Any] | None = None) -> Scorer | None:
    """The scorer of a data set's protocol; None where there is no ground truth.

    Args:
        dataset: names its protocol.
        image_ids: the images of this run where it is only a part of the data set: AP must not count the others' truth.
    """
    if dataset.protocol == "none":
        return None
    if dataset.protocol == "overlap":
        return OverlapScorer()
    if dataset.protocol == "average_precision":
        return AveragePrecisionScorer(dataset, dataset.image_ids if image_ids is None else image_ids)  # type: ignore[attr-defined]
    if dataset.protocol == "semantic":
        return SemanticScorer(dataset)
    if dataset.protocol == "boundary_accuracy":
        return BoundaryScorer()
    raise DatasetError(f"data set {dataset.name} names the protocol '{dataset.protocol}', which is not known")


def changed(sample: Sample, refinement: Refinement) -> list[float]:
    """IoU of each refined mask with its coarse one, for data sets that have no truth per mask."""
    return [pair_iou(coarse, refined) for coarse, refined in zip(sample.masks, refinement.masks, strict=True)]


def _truth(sample: Sample) -> Any:
    if sample.truth is None:
        raise DatasetError(f"image {sample.image_id} has no ground truth; this data set is scored by overlap with it")
    return sample.truth


def _overlap_columns(prefix: str, counts: OverlapCounts) -> Columns:
    return {f"{prefix}_iou": counts["iou"], f"{prefix}_boundary_iou": counts["boundary_iou"]}
