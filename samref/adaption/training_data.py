"""Training targets of the adaptor: each mask's predicted IoUs beside its candidates' IoU with a target mask.

SAM is frozen, so the input of the layer that trains and the candidates never change while it trains.
`CachedTargets` computes them once and an epoch costs milliseconds; `PlainTargets` runs the whole model for every
step. The numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from samref.adaption.iou_lora import COARSE, TRUTH
from samref.backbones.backbone import Backbone
from samref.errors import ConfigError, DatasetError
from samref.refiners.samrefiner import SAMRefiner
from samref.structures import BoolArray, Candidates, Failure, Sample, Samples

Place = tuple[int, int]


class Targets(NamedTuple):
    """What one pass of the frozen model gives of N masks.

    Attributes:
        features: N x D, input of the IoU head's last layer.
        iou_predictions: N x 3, of `ranked_predictions`; with gradient if the head trains.
        candidate_iou: N x 3 float64, the candidates' IoU with the target.
        truth_iou: N x 3 float64, the candidates' IoU with the ground truth; NaN where there is none.
    """

    features: Tensor
    iou_predictions: Tensor
    candidate_iou: Tensor
    truth_iou: Tensor


class TrainingTargets(Protocol):
    """Training data of the adaptor, one entry a mask."""

    def __len__(self) -> int: ...

    def __call__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """What is ranked (with gradient) and the candidates' IoUs with the target of some masks, both N x 3."""
        ...

    def rated(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same and the candidates' IoUs with the truth, NaN where there is none: N x 3 each."""
        ...


# What gives the masks that candidates are compared with: N x H x W bool, the sample's rows.
TargetMasks = Callable[[Sample], BoolArray]


def target_masks(target: str, judge: SAMRefiner | None = None) -> TargetMasks:
    """Which masks candidates are compared with.

    Args:
        target: `coarse`, `truth` or `verdict`.
        judge: refiner with a verdict, for `verdict`.

    Raises:
        ConfigError: from the result, for `truth` where a sample has none.
    """
    if target == COARSE:
        return lambda sample: sample.masks
    if target == TRUTH:
        return _true_masks
    assert judge is not None
    return lambda sample: judge.refine_sample(sample).masks


def _true_masks(sample: Sample) -> BoolArray:
    if sample.truth is None:
        raise ConfigError(f"adaption.target=truth needs ground truth, which image {sample.image_id} lacks; use coarse")
    return sample.truth


def compute_targets(refiner: SAMRefiner, sample: Sample, rows: Sequence[int], wanted: BoolArray) -> Targets:
    """Decodes some masks of a sample and rates their candidates.

    Args:
        refiner: with the training prompts.
        sample: an image with its coarse masks.
        rows: masks that are not empty.
        wanted: N x H x W bool, the target of each of the sample's masks.
    """
    with torch.no_grad():
        embedding = refiner.backbone.encode(sample.image)
    picked = np.asarray(rows)
    prompts = refiner.excavate(sample.masks[picked], embedding)
    parts = []
    for start in range(0, len(picked), refiner.chunk_size):
        chunk = slice(start, start + refiner.chunk_size)
        candidates = refiner.backbone.decode(embedding, prompts[chunk], unpadded_only=True)
        truth_iou = np.full((len(picked[chunk]), 3), np.nan)
        if sample.truth is not None:
            truth_iou = refiner.candidate_iou(candidates, embedding, sample.truth[picked[chunk]])
        target_iou = truth_iou
        if wanted is not sample.truth:
            target_iou = refiner.candidate_iou(candidates, embedding, wanted[picked[chunk]])
        rates = torch.from_numpy(target_iou), torch.from_numpy(truth_iou)
        predictions = ranked_predictions(refiner.backbone.iou_head, candidates)
        parts.append((candidates.iou_features.detach(), predictions, *rates))
    return Targets(*(torch.cat(column) for column in zip(*parts, strict=True)))


def ranked_predictions(iou_head: Any, candidates: Candidates) -> Tensor:
    """What the loss ranks of N masks: what the head's last layer leaves, N x 3.

    Those are the predicted IoUs, or, where a sigmoid follows, their logits: the order is the same, and a sigmoid near 1
    takes so much of the gradient that the paper's learning rate moves nothing (`benchmarks/results/sigmoid.md`).

    Args:
        iou_head: of the backbone that decoded the masks.
        candidates: of the masks.
    """
    if not iou_head.sigmoid_output:
        return candidates.multi_iou
    logits: Tensor = iou_head.layers[-1](candidates.iou_features)[:, 1:]
    return logits


def places(samples: Samples) -> list[Place]:
    """(sample, mask) of every mask that is not empty, in the data set's order."""
    found = []
    for index in range(len(samples)):
        sample = samples[index]
        if not isinstance(sample, Failure):
            found += [(index, int(row)) for row in np.flatnonzero(sample.masks.any(axis=(1, 2)))]
    return found


class PlainTargets:
    """Runs the whole model for every step."""

    def __init__(self, samples: Samples, refiner: SAMRefiner, targets: TargetMasks) -> None:
        self.samples, self.refiner = samples, refiner
        self.places = places(samples)
        # Once, before training: a verdict looks at predicted IoUs, which training changes.
        self.wanted = {
            place: np.packbits(targets(_sample(samples, place))) for place in {place for place, _ in self.places}
        }

    def __len__(self) -> int:
        return len(self.places)

    def __call__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """See `TrainingTargets`."""
        return self.rated(indices)[:2]

    def rated(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `TrainingTargets`."""
        parts = []
        for index in indices.tolist():
            place, row = self.places[index]
            sample = _sample(self.samples, place)
            bits = np.unpackbits(self.wanted[place], count=sample.masks.size)
            wanted = bits.astype(bool).reshape(sample.masks.shape)
            parts.append(compute_targets(self.refiner, sample, [row], wanted)[1:])
        predictions, target_iou, truth_iou = (torch.cat(column) for column in zip(*parts, strict=True))
        return predictions, target_iou.to(predictions.device), truth_iou.to(predictions.device)


def _sample(samples: Samples, place: int) -> Sample:
    sample = samples[place]
    assert isinstance(sample, Sample)
    return sample


class CachedTargets:
    """The frozen part, computed once.

    Attributes:
        features: M x D, input of the IoU head's last layer.
        candidate_iou: M x 3 float64, with the target.
        truth_iou: M x 3 float64, with the ground truth; NaN where there is none.
    """

    def __init__(self, features: Tensor, candidate_iou: Tensor, truth_iou: Tensor, backbone: Backbone) -> None:
        self.features, self.candidate_iou, self.truth_iou = features, candidate_iou, truth_iou
        self.head: Any = backbone.iou_head

    def __len__(self) -> int:
        return len(self.features)

    def __call__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """See `TrainingTargets`."""
        return self.rated(indices)[:2]

    def rated(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `TrainingTargets`."""
        # A trainer may move the model between two calls: what is trained on follows it.
        device = next(self.head.parameters()).device
        self.features, self.candidate_iou, self.truth_iou = (
            part.to(device) for part in (self.features, self.candidate_iou, self.truth_iou)
        )
        indices = indices.to(device)
        predictions = self.head.layers[-1](self.features[indices])[:, 1:]
        return predictions, self.candidate_iou[indices], self.truth_iou[indices]


def require_targets(targets: TrainingTargets) -> None:
    """Raises `DatasetError` when there is nothing to train on."""
    if not len(targets):
        raise DatasetError("the data set has no mask that is not empty; adaption=iou_lora trains on coarse masks")


class EpochSampler(Sampler[int]):
    """A new order of masks every epoch, a function of seed and epoch alone, so that a resumed run goes on alike."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return iter(torch.randperm(self.count, generator=generator).tolist())
