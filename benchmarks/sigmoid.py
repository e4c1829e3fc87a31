"""`python -m benchmarks.sigmoid ROOT`: what is to be ranked where a sigmoid ends the IoU head, as in SAM 2 and its kin.

Weights of those are not at hand here, so MobileSAM's last layer is replaced by one whose sigmoid predicts the same IoUs
on DAVIS's masks: the nearest to its linearization at their mean. The adaptor then trains on what leaves the sigmoid, or
on the logits, with the paper's optimizer.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.results import FOLDER, publish
from samref.adaption.iou_lora import IouLora
from samref.adaption.lora import original_head
from samref.adaption.module import prepare_targets, rate
from samref.adaption.ranking_loss import ranking_loss
from samref.adaption.training_data import CachedTargets, EpochSampler
from samref.backbones.backbone import Backbone
from samref.backbones.open import open_backbone
from samref.config.compose import build, compose_config
from samref.datasets.davis import Davis585
from samref.datasets.loader import Samples

TITLE = (
    "SAMRefiner++ on DAVIS masks, mean and standard deviation over seeds. sigmoid: MobileSAM's IoU head with a last "
    "layer that predicts the same IoUs through a sigmoid; ranked is what leaves it, or its logits. Top-1: share of "
    "masks whose highest predicted IoU is at the best candidate."
)
TRIALS = [
    ("as published", "predicted IoUs", (0.02, 0.1)),
    ("sigmoid", "predicted IoUs", (0.02, 0.1)),
    ("sigmoid", "logits", (0.02, 0.1, 1.0)),
]
NEAR_ONE = 0.99
RIDGE = 1e-3


class SigmoidTargets:
    """Targets of which the sigmoid of the predictions is ranked."""

    def __init__(self, targets: CachedTargets) -> None:
        self.targets = targets

    def __len__(self) -> int:
        return len(self.targets)

    def __call__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """See `TrainingTargets`."""
        return self.rated(indices)[:2]

    def rated(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `TrainingTargets`."""
        predictions, *known = self.targets.rated(indices)
        return predictions.sigmoid(), known[0], known[1]


def logit_layer(layer: nn.Linear, features: Tensor) -> nn.Linear:
    """A layer in front of a sigmoid that predicts what `layer` predicts of N x D features."""
    inputs = torch.cat([features, features.new_ones(len(features), 1)], dim=1).double()
    plain = torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach().double().T
    predicted = inputs @ plain
    mean = predicted.mean()
    start = plain / (mean * (1 - mean))
    start[-1] += torch.logit(mean) - mean / (mean * (1 - mean))
    wanted = torch.logit(predicted.clamp(1 - NEAR_ONE, NEAR_ONE)) - inputs @ start
    ridge = RIDGE * torch.eye(inputs.shape[1], dtype=torch.double)
    found = (start + torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ wanted)).float()
    made = nn.Linear(layer.in_features, layer.out_features)
    made.weight.data, made.bias.data = found[:-1].T.contiguous(), found[-1].contiguous()
    return made.requires_grad_(False)


def trained(backbone: Backbone, adaption: IouLora, targets: Any) -> tuple[float, float]:
    """Top-1 accuracy before and after a fit."""
    adaption.attach(backbone)
    parts = adaption.optimizers(backbone)
    sgd, schedule = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    before, sampler = rate(targets)["top1_acc"], EpochSampler(len(targets), adaption.seed)
    for epoch in range(adaption.passes(len(targets))):
        sampler.set_epoch(epoch)
        order = list(sampler)
        for start in range(0, len(order), adaption.batch_size):
            loss = ranking_loss(*targets(torch.tensor(order[start : start + adaption.batch_size])), adaption.margin)
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            schedule.step()
    return before, rate(targets)["top1_acc"]


def rows(backbone: Backbone, adaption: IouLora, targets: CachedTargets, seeds: int) -> Iterator[dict[str, Any]]:
    """One row a trial and margin."""
    head: Any = backbone.iou_head
    plain = head.layers[-1]
    sigmoid = logit_layer(plain, targets.features)
    for name, ranked, margins in TRIALS:
        for margin in margins:
            found = []
            for seed in range(seeds):
                with original_head(head):
                    head.layers[-1] = sigmoid if name == "sigmoid" else plain
                    through = (name, ranked) == ("sigmoid", "predicted IoUs")
                    options = replace(adaption, seed=seed, margin=margin)
                    found.append(trained(backbone, options, SigmoidTargets(targets) if through else targets))
            before, after = 100 * np.array(found).T
            yield {
                "IoU head": name,
                "ranked": ranked,
                "margin": margin,
                "top-1 before": round(float(before[0]), 1),
                "after": round(float(after.mean()), 1),
                "deviation": round(float(after.std(ddof=1)), 1),
                "masks": len(targets),
            }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sigmoid", description=__doc__)
    parser.add_argument("root", type=Path, help="folder in the layout of DAVIS-585")
    parser.add_argument("--backbone", default="mobile_sam", help="or tiny, for a trial")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the results")
    chosen = parser.parse_args(arguments)
    cfg = compose_config(["adaption=iou_lora", "dataset=davis585"])
    backbone, adaption = (
        open_backbone(compose_config([f"backbone={chosen.backbone}", "backbone.cache=true"]).backbone),
        build(cfg.adaption),
    )
    refiner = build(cfg.refiner, backbone=backbone, prompts=build(cfg.prompts))
    samples = Samples(Davis585(str(chosen.root)), None, "raise")
    with tempfile.TemporaryDirectory() as store, original_head(backbone.iou_head):
        targets = prepare_targets(samples, refiner, adaption, Path(store), [str(k) for k in range(len(samples))])
    command = f"python -m benchmarks.sigmoid {chosen.root.name} --seeds {chosen.seeds}"
    publish("sigmoid", TITLE, command, list(rows(backbone, adaption, targets, chosen.seeds)), chosen.out)


if __name__ == "__main__":
    main()
