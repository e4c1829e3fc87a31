"""Fitting an adaptor with Lightning, and sharing it between the jobs of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from samref.adaption.iou_lora import IouLora
from samref.adaption.ranking_loss import agreement
from samref.adaption.training_data import (
    CachedLessons,
    EpochSampler,
    Lessons,
    PlainLessons,
    Samples,
    collect,
    require_lessons,
)
from samref.backbones.cache.entry import BrokenEntry, read_entry, write_entry
from samref.refiners.samrefiner import SAMRefiner

STORED = ("features", "candidate_iou", "truth_iou")  # of `Taught`: what stays the same while the last layer trains


def teacher(refiner: SAMRefiner, adaption: IouLora) -> SAMRefiner:
    """The refiner with the training prompts in place of its own."""
    prompts = refiner.prompts.using(adaption.prompts)
    return SAMRefiner(refiner.backbone, prompts, chunk_size=refiner.chunk_size)


def prepare_lessons(samples: Samples, refiner: SAMRefiner, adaption: IouLora, store: Path) -> Lessons:
    """The lessons of a data set; what a killed run had computed of them is taken up again.

    Args:
        samples: the data set.
        refiner: whose backbone is adapted, its adaptor attached already.
        adaption: options.
        store: folder of the cached part, one small file a sample.
    """
    refiner = teacher(refiner, adaption)
    # With LoRA on every layer, the input of the last one moves while it trains: nothing can be cached there.
    if not adaption.cached or adaption.placement != "last":
        return PlainLessons(samples, refiner, adaption.target)
    return CachedLessons(*_collected(samples, refiner, adaption.target, store), refiner.backbone)


def _collected(samples: Samples, refiner: SAMRefiner, target: str, store: Path) -> tuple[Tensor, Tensor, Tensor]:
    parts: dict[int, dict[str, Tensor]] = {}
    for path in store.glob("*.safetensors"):
        try:
            part = read_entry(path, _entry_key(path))
            parts[int(path.stem)] = {name: part[name] for name in STORED}
        except (BrokenEntry, OSError, ValueError, KeyError):
            path.unlink(missing_ok=True)
    todo = Remaining(samples, set(parts))
    for index, taught in collect(todo, refiner, target):
        part = {name: getattr(taught, name).cpu() for name in STORED}
        part["features"] = part["features"].float()
        path = store / f"{todo.indices[index]}.safetensors"
        write_entry(path, _entry_key(path), part)
        parts[todo.indices[index]] = part
    ordered = [parts[index] for index in sorted(parts)]
    if not ordered:
        return torch.zeros(0, 1), torch.zeros(0, 3), torch.zeros(0, 3)
    features, candidate_iou, truth_iou = (torch.cat([part[name] for part in ordered]) for name in STORED)
    return features, candidate_iou, truth_iou


def _entry_key(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


class Remaining:
    """The samples of a data set that have not been seen yet."""

    def __init__(self, samples: Samples, seen: set[int]) -> None:
        self.samples = samples
        self.indices = [index for index in range(len(samples)) if index not in seen]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.samples[self.indices[index]]


def fit(module: LightningModule, trainer: Trainer, adaption: IouLora, lessons: Lessons, resume: Path) -> None:
    """Trains the attached adaptor; a killed fit goes on from its last epoch.

    Args:
        module: with `training_step` on indices of lessons.
        trainer: for this fit.
        adaption: options.
        lessons: what is learnt from.
        resume: checkpoint of a killed fit; used if it is there.
    """
    require_lessons(lessons)
    indices: Any = range(len(lessons))
    sampler = EpochSampler(len(lessons), adaption.seed)
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
def rate(lessons: Lessons, batch: int = 64) -> dict[str, float]:
    """How well predicted IoUs choose among the candidates.

    Args:
        lessons: with the adaptor as it is now.
        batch: masks at a time.

    Returns:
        `agreement`: share of masks whose highest predicted IoU is at the candidate the target prefers; `top1_acc`:
        the same for the ground truth, missing where no mask has one.
    """
    parts = [lessons.rated(torch.arange(k, min(k + batch, len(lessons)))) for k in range(0, len(lessons), batch)]
    predictions, wanted, real = (torch.cat(column) for column in zip(*parts, strict=True))
    known = ~real.isnan().any(dim=1)
    rates = {"agreement": agreement(predictions, wanted)}
    if known.any():
        rates["top1_acc"] = agreement(predictions[known], real[known])
    return rates
