"""From a sample to what a network is trained on: a label map, or instances with boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import masks_to_boxes

from samref.datasets.dataset import MaskDataset
from samref.datasets.voc.labels import CLASSES
from samref.errors import DatasetError, InputError
from samref.io.coco_files import read_json
from samref.structures import Sample, Samples
from samref.training.networks.network import INSTANCE, SEMANTIC

SHOWN = 6


@dataclass(frozen=True)
class Classes:
    """The classes of a data set.

    Attributes:
        kind: `semantic`: the ids are values of label maps, and the first is the background; `instance`: categories.
        ids: in the order in which a network counts them; its label of a category is its place, from 1.
        agnostic: whether all categories count as one.
    """

    kind: str
    ids: tuple[int, ...]
    agnostic: bool = False

    @property
    def count(self) -> int:
        """Classes of a network, background included."""
        return len(self.ids) if self.kind == SEMANTIC else 2 if self.agnostic else len(self.ids) + 1


def classes_of(dataset: MaskDataset, samples: Samples) -> Classes:
    """The classes that a network of a data set knows.

    VOC has 21 and COCO those of its annotations; of a folder they are the labels that occur, 1 for binary masks, and
    the background.

    Args:
        dataset: with ground truth.
        samples: of a folder, all of whose masks are read.

    Raises:
        DatasetError: for a data set that nothing can be trained on.
    """
    if dataset.protocol == "semantic":
        return Classes(SEMANTIC, tuple(range(CLASSES)))
    if dataset.protocol == "average_precision":
        truth: Any = getattr(dataset, "ground_truth", None)
        categories = read_json(truth, "dataset.annotations").get("categories", [])
        return Classes(
            INSTANCE,
            tuple(sorted(category["id"] for category in categories)),
            getattr(dataset, "eval_protocol", "") == "class_agnostic",
        )
    if dataset.name == "folder":
        found = {label for k in range(len(samples)) if isinstance(one := samples[k], Sample) for label in _labels(one)}
        return Classes(SEMANTIC, (0, *sorted(found)))
    raise DatasetError(
        f"no network is trained on data set {dataset.name}; expected voc, coco, or a folder with ground truth"
    )


def label_map(sample: Sample, classes: Classes) -> Tensor:
    """The H x W int64 label map of a sample's masks, 255 where it is to be ignored.

    Args:
        sample: of a VOC-like data set, or of a folder.
        classes: of the data set.

    Raises:
        InputError: for a label that is no class.
    """
    labels = sample.meta.get("coarse")
    if labels is None:
        labels = np.zeros(sample.original_size, np.int64)
        for mask, label in zip(sample.masks, _labels(sample), strict=True):
            if label not in classes.ids:
                raise InputError(
                    f"image {sample.image_id} has a mask of label {label}; expected one of "
                    f"{', '.join(map(str, classes.ids[1 : SHOWN + 1]))}, which the masks for training hold"
                )
            labels[mask] = classes.ids.index(label)
    return torch.from_numpy(np.asarray(labels).astype(np.int64))


def instances(sample: Sample, classes: Classes) -> dict[str, Tensor]:
    """The instances of a sample: `boxes`, `labels` and `masks`, see `Network`; crowds and empty masks are left out.

    Args:
        sample: of a COCO-like data set.
        classes: of the data set.

    Raises:
        InputError: for a category that is no class.
    """
    rows, labels = [], []
    for row, (mask, record) in enumerate(zip(sample.masks, sample.meta["records"], strict=True)):
        if record.get("iscrowd") or not mask.any():
            continue
        category = record["category_id"]
        if not classes.agnostic and category not in classes.ids:
            raise InputError(
                f"image {sample.image_id} has a mask of category {category}; expected one of the annotations' "
                f"({', '.join(map(str, classes.ids[:SHOWN]))}, ...)"
            )
        rows.append(row)
        labels.append(1 if classes.agnostic else classes.ids.index(category) + 1)
    masks = torch.from_numpy(np.ascontiguousarray(sample.masks[rows])).to(torch.uint8)
    return with_boxes(masks, torch.tensor(labels, dtype=torch.int64))


def with_boxes(masks: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Instances with the boxes of their masks; what is smaller than a pixel is left out.

    Args:
        masks: n x H x W uint8.
        labels: n int64.

    Returns:
        `boxes` n x 4 float32 x0, y0, x1, y1, right and lower borders exclusive, `labels` and `masks`.
    """
    there = masks.flatten(1).any(dim=1).bool()
    masks, labels = masks[there], labels[there]
    boxes = masks_to_boxes(masks) if len(masks) else torch.zeros(0, 4)
    boxes = boxes + torch.tensor([0.0, 0.0, 1.0, 1.0])
    return {"boxes": boxes, "labels": labels, "masks": masks}


def target_of(sample: Sample, classes: Classes) -> Any:
    """What a network is trained on, by the kind of classes; raises `InputError` for what is none of them."""
    return label_map(sample, classes) if classes.kind == SEMANTIC else instances(sample, classes)


def _labels(sample: Sample) -> Sequence[int]:
    return [1 if label is None else int(label) for label in sample.meta.get("labels", [])]
