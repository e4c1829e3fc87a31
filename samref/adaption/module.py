"""Fitting an adaptor with Lightning, and sharing it between the jobs of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from samref.adaption.iou_lora import IouLora
from samref.adaption.ranking_loss import agreement
from samref.adaption.training_data import (
    CachedTargets,
    EpochSampler,
    PlainTargets,
    TargetMasks,
    TrainingTargets,
    compute_targets,
    require_targets,
    target_masks,
)
from samref.backbones.cache.entry import BrokenEntry, read_entry, write_entry
from samref.prompts.excavation import PARTS
from samref.refiners.samrefiner import SAMRefiner
from samref.refiners.verdict import Verdict
from samref.structures import Failure, Samples

STORED = ("features", "candidate_iou", "truth_iou")  # of `Targets`: what stays the same while the last layer trains


def training_refiner(refiner: SAMRefiner, adaption: IouLora) -> SAMRefiner:
    """The refiner with the training prompts in place of its own."""
    prompts = refiner.prompts.using(adaption.prompts)
    return SAMRefiner(refiner.backbone, prompts, chunk_size=refiner.chunk_size)


def judge_of(refiner: SAMRefiner, verdict: Verdict) -> SAMRefiner:
    """A refiner whose masks a verdict decides, for `adaption.target=verdict`."""
    judge = SAMRefiner(refiner.backbone, refiner.prompts.using(PARTS), chunk_size=refiner.chunk_size)
    judge.verdict = verdict
    return judge


def prepare_targets(
    samples: Samples,
    refiner: SAMRefiner,
    adaption: IouLora,
    store: Path,
    keys: Sequence[str],
    judge: SAMRefiner | None = None,
) -> TrainingTargets:
    """The training targets of a data set; those that an earlier run has computed are read.

    Args:
        samples: the data set.
        refiner: whose backbone is adapted, its adaptor attached already.
        adaption: options.
        store: folder of the cached part, one small file a sample.
        keys: hash of what each sample is made of, which names its file; empty: nothing is kept.
        judge: of `judge_of`, for `adaption.target=verdict`.
    """
    refiner = training_refiner(refiner, adaption)
    targets = target_masks(adaption.target, judge)
    # With LoRA on every layer, the input of the last one moves while it trains: nothing can be cached there.
    if not adaption.cached or adaption.placement != "last":
        return PlainTargets(samples, refiner, targets)
    parts = [_targets_of(samples, index, refiner, targets, store, key) for index, key in enumerate(keys)]
    found = [part for part in parts if part is not None]
    if not found:
        return CachedTargets(torch.zeros(0, 1), torch.zeros(0, 3), torch.zeros(0, 3), refiner.backbone)
    features, candidate_iou, truth_iou = (torch.cat([part[name] for part in found]) for name in STORED)
    return CachedTargets(features, candidate_iou, truth_iou, refiner.backbone)


def _targets_of(
    samples: Samples, index: int, refiner: SAMRefiner, targets: TargetMasks, store: Path, key: str
) -> dict[str, Tensor] | None:
    """Of one sample, read from its file or computed; None if it has no mask that is not empty."""
    path = store / f"{key}.safetensors"
    if key:
        with suppress(BrokenEntry, FileNotFoundError, KeyError):
            part = read_entry(path, _entry_key(path))
            return {name: part[name] for name in STORED}
    sample = samples[index]
    rows = [] if isinstance(sample, Failure) else np.flatnonzero(sample.masks.any(axis=(1, 2))).tolist()
    if isinstance(sample, Failure) or not rows:
        return None
    with torch.no_grad():
        computed = compute_targets(refiner, sample, rows, targets(sample))
    part = {name: getattr(computed, name).cpu() for name in STORED}
    part["features"] = part["features"].float()
    if key:
        write_entry(path, _entry_key(path), part)
    return part


def _entry_key(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def fit(module: LightningModule, trainer: Trainer, adaption: IouLora, targets: TrainingTargets, resume: Path) -> None:
    """Trains the attached adaptor; a killed fit goes on from its last epoch.

    Args:
        module: with `training_step` on indices of targets.
        trainer: for this fit.
        adaption: options.
        targets: to train on.
        resume: checkpoint of a killed fit; used if it is there.
    """
    require_targets(targets)
    indices: Any = range(len(targets))
    sampler = EpochSampler(len(targets), adaption.seed)
    loader: DataLoader[int] = DataLoader(indices, batch_size=adaption.batch_size, sampler=sampler)
    trainer.fit(module, loader, ckpt_path=str(resume) if _is_whole(resume) else None, weights_only=True)


def _is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint is there and can be read; a damaged one is deleted, and the fit starts again."""
    if not checkpoint.is_file():
        return False
    try:
        torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception:  # a damaged archive fails in as many ways as it has formats
        checkpoint.unlink()
        return False
    return True


def checkpointing(folder: Path) -> ModelCheckpoint:
    """The callback that writes a resumable checkpoint (adaptor and optimiser only) after each epoch."""
    return ModelCheckpoint(
        dirpath=folder, filename="last", save_top_k=1, every_n_epochs=1, enable_version_counter=False
    )


@torch.no_grad()
def rate(targets: TrainingTargets, batch: int = 64) -> dict[str, float]:
    """How well predicted IoUs choose among the candidates.

    Args:
        targets: with the adaptor as it is now.
        batch: masks at a time.

    Returns:
        `agreement`: share of masks whose highest predicted IoU is at the candidate the target prefers; `top1_acc`:
        the same for the ground truth, missing where no mask has one.
    """
    parts = [targets.rated(torch.arange(k, min(k + batch, len(targets)))) for k in range(0, len(targets), batch)]
    predictions, wanted, truth_iou = (torch.cat(column) for column in zip(*parts, strict=True))
    known = ~truth_iou.isnan().any(dim=1)
    rates = {"agreement": agreement(predictions, wanted)}
    if known.any():
        rates["top1_acc"] = agreement(predictions[known], truth_iou[known])
    return rates
