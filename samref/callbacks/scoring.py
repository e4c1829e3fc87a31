"""How each protocol scores an image: which metrics see it, and what it adds to the table of samples."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from torch import nn

from samref.datasets.dataset import MaskDataset
from samref.errors import DatasetError
from samref.metrics.overlap import Overlap, OverlapCounts, overlap_per_mask
from samref.metrics.selection_accuracy import SelectionAccuracy
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
        if refinement.candidate_iou is not None:
            decoded = ~np.isnan(refinement.candidate_iou).any(axis=1)
            self.top1.update(refinement.iou_predictions[decoded], refinement.candidate_iou[decoded])
            columns |= {f"candidate_iou_{k}": refinement.candidate_iou[:, k] for k in range(3)}
        return columns

    def compute(self) -> Scores:
        """See `Scorer`."""
        return {"coarse": self.coarse.compute(), "refined": {**self.refined.compute(), **self.top1.compute()}}


def scorer_for(dataset: MaskDataset) -> Scorer | None:
    """The scorer of a data set's protocol; None where there is no ground truth."""
    if dataset.protocol == "none":
        return None
    if dataset.protocol == "overlap":
        return OverlapScorer()
    raise DatasetError(f"data set {dataset.name} names the protocol '{dataset.protocol}', which is not known")


def _truth(sample: Sample) -> Any:
    if sample.truth is None:
        raise DatasetError(f"image {sample.image_id} has no ground truth; this data set is scored by overlap with it")
    return sample.truth


def _overlap_columns(prefix: str, counts: OverlapCounts) -> Columns:
    return {f"{prefix}_iou": counts["iou"], f"{prefix}_boundary_iou": counts["boundary_iou"]}
