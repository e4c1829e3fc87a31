"""An epoch of adaption over cached features against one that runs the full model at each step."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from samref.adaption.iou_lora import IouLora
from samref.adaption.lora import original_head
from samref.adaption.module import prepare_targets, training_refiner
from samref.adaption.ranking_loss import ranking_loss
from samref.adaption.training_data import CachedTargets, EpochSampler, PlainTargets, TrainingTargets, target_masks
from samref.config.compose import build, compose_config
from samref.datasets.loader import Samples
from samref.datasets.scenes.scenes import Scenes
from samref.refiners.samrefiner import SAMRefiner

TURNS = 3  # of which the fastest counts


def adaption_epochs(store: Path, images: int = 3) -> dict[str, Any]:
    """Seconds and losses of one epoch by each path, from the same start and in the same order of masks.

    Args:
        store: folder for the cached part.
        images: scenes of the epoch; the plain path encodes an image for each of its masks.
    """
    refiner = SAMRefiner.from_pretrained("mobile_sam", overrides=["backbone.cache=false"])
    adaption: IouLora = build(compose_config(["adaption=iou_lora"]).adaption)
    samples = Samples(Scenes(images), None, "raise")
    # Encoding would drown what is compared: both paths are given the embeddings.
    embeddings = {samples[k].image.tobytes(): refiner.backbone.encode(samples[k].image) for k in range(images)}
    refiner.backbone.encode = lambda image: embeddings[image.tobytes()]
    with original_head(refiner.backbone.iou_head):
        cached = prepare_targets(samples, refiner, adaption, store, [str(k) for k in range(images)])
    assert isinstance(cached, CachedTargets)
    plain = PlainTargets(samples, training_refiner(refiner, adaption), target_masks(adaption.target))
    measured = {"cached": (0.0, [0.0]), "plain": (0.0, [0.0])}
    for name, targets in (("cached", cached), ("plain", plain)):
        turns = []
        for _ in range(TURNS):
            with original_head(refiner.backbone.iou_head):
                adaption.attach(refiner.backbone)
                turns.append(epoch(targets, adaption, refiner))
        measured[name] = min(turns)
    (fast, losses), (slow, same) = measured.values()
    apart = max(abs(a - b) for a, b in zip(losses, same, strict=True))
    return {"masks": len(cached), "cached": fast, "plain": slow, "ratio": slow / fast, "losses_apart": apart}


def epoch(targets: TrainingTargets, adaption: IouLora, refiner: SAMRefiner) -> tuple[float, list[float]]:
    """One pass with the optimizer of the configuration: its seconds, and the loss of each step."""
    started = time.perf_counter()
    parts = adaption.optimizers(refiner.backbone)
    sgd, schedule = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    order, losses = list(EpochSampler(len(targets), adaption.seed)), []
    for start in range(0, len(order), adaption.batch_size):
        loss = ranking_loss(*targets(torch.tensor(order[start : start + adaption.batch_size])), adaption.margin)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        schedule.step()
        losses.append(loss.item())
    return time.perf_counter() - started, losses
