"""Scores of a trained network: mIoU of its label maps, or average precision of its instances."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from samref.errors import DatasetError
from samref.io.coco_masks import encode_rle
from samref.metrics.average_precision import AveragePrecision
from samref.metrics.semantic import SemanticIoU
from samref.structures import Sample
from samref.training.evaluation import Evaluation
from samref.training.networks.network import SEMANTIC, Network
from samref.training.targets import Classes, label_map


class NetworkScorer(nn.Module, ABC):
    """Compares what a network finds with ground truth."""

    @abstractmethod
    def update(self, network: Network, image: Tensor, sample: Sample) -> None:
        """Adds one image.

        Args:
            network: in evaluation mode.
            image: 3 x H x W uint8, on the network's device.
            sample: the same, with its ground truth.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Metrics of all images so far, over all processes, as fractions."""

    @abstractmethod
    def reset(self) -> None:
        """Forgets all images."""


class SemanticNetworkScorer(NetworkScorer):
    """mIoU of label maps; 255 of the truth is ignored."""

    def __init__(self, classes: Classes, evaluation: Evaluation) -> None:
        super().__init__()
        self.classes, self.evaluation = classes, evaluation
        self.iou = SemanticIoU(classes.count)

    def update(self, network: Network, image: Tensor, sample: Sample) -> None:
        """See `NetworkScorer`."""
        truth = sample.label_map if sample.label_map is not None else label_map(sample, self.classes).numpy()
        self.iou.update(self.evaluation.labels(network, image), np.asarray(truth).astype(np.int64))

    def compute(self) -> dict[str, float]:
        """See `NetworkScorer`."""
        return self.iou.compute()

    def reset(self) -> None:
        """See `NetworkScorer`."""
        self.iou.reset()


class InstanceNetworkScorer(NetworkScorer):
    """AP of boxes, masks and boundaries."""

    def __init__(self, classes: Classes, ground_truth: Path, protocol: str, image_ids: Iterable[Any] | None) -> None:
        super().__init__()
        self.classes = classes
        self.precision = AveragePrecision(ground_truth, protocol=protocol, image_ids=image_ids)

    def update(self, network: Network, image: Tensor, sample: Sample) -> None:
        """See `NetworkScorer`."""
        self.precision.update(coco_results(network.predict(image), sample.image_id, self.classes))

    def compute(self) -> dict[str, float]:
        """See `NetworkScorer`."""
        return self.precision.compute()

    def reset(self) -> None:
        """See `NetworkScorer`."""
        self.precision.reset()


def coco_results(found: dict[str, Tensor], image_id: Any, classes: Classes) -> list[dict[str, Any]]:
    """What a network finds in an image, as COCO results.

    Args:
        found: `labels`, `scores` and `masks`, see `Network.predict`.
        image_id: of the image.
        classes: that the labels count.

    Returns:
        One result a mask that is not empty, in run lengths.
    """
    masks = found["masks"].cpu().numpy().astype(bool)
    rows = zip(masks, found["labels"].tolist(), found["scores"].tolist(), strict=True)
    return [
        {
            "image_id": image_id,
            "category_id": classes.ids[0 if classes.agnostic else label - 1],
            "score": score,
            "segmentation": encode_rle(mask),
        }
        for mask, label, score in rows
        if mask.any()
    ]


def scorer_of(classes: Classes, evaluation: Evaluation, dataset: Any, image_ids: Iterable[Any] | None) -> NetworkScorer:
    """The scorer of a data set with ground truth.

    Args:
        classes: that the network knows.
        evaluation: of semantic networks.
        dataset: that is scored on.
        image_ids: the images that count where they are a part of it, else None.

    Raises:
        DatasetError: for a data set without ground truth.
    """
    if not dataset.scored:
        raise DatasetError(
            "a trained network is scored on ground truth; training.validation names no data that has any"
        )
    if classes.kind == SEMANTIC:
        return SemanticNetworkScorer(classes, evaluation)
    ids = dataset.image_ids if image_ids is None else image_ids
    return InstanceNetworkScorer(classes, dataset.ground_truth, dataset.eval_protocol, ids)
