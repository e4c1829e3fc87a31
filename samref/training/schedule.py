"""How a network is trained: steps, rates, batches, pictures, and how it is tested."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from samref.errors import ConfigError
from samref.training.augmentation import Augmentation
from samref.training.evaluation import Evaluation
from samref.training.networks.network import Network

POLY, STEPS, CONSTANT = DECAYS = ("poly", "steps", "constant")
SGD, ADAMW = OPTIMIZERS = ("sgd", "adamw")


@dataclass(frozen=True)
class Schedule:
    """What a training run does beside its data and its network.

    Attributes:
        max_steps: optimizer steps; `+trainer.max_steps=` takes its place.
        batch_size: images a step, over all processes.
        optimizer: `sgd` or `adamw`.
        lr: learning rate, for a batch of `batch_size`.
        momentum: of SGD.
        weight_decay: of the optimizer.
        warmup: steps over which the rate rises to `lr`.
        warmup_factor: share of `lr` at the first of them.
        decay: of the rate after it: `poly`, `steps` or `constant`.
        power: of `poly`.
        milestones: shares of `max_steps` after which `steps` takes a tenth of the rate.
        clip: largest norm of the gradient, or None.
        checkpoint_every: steps between two checkpoints of a fit that can go on from there.
        validate_every: steps between two scores while training, or None: at the end alone.
        augmentation: of the images that are trained on.
        evaluation: how the trained network is scored.
    """

    max_steps: int
    batch_size: int
    optimizer: str
    lr: float
    momentum: float
    weight_decay: float
    warmup: int
    warmup_factor: float
    decay: str
    power: float
    milestones: Sequence[float]
    clip: float | None
    checkpoint_every: int
    validate_every: int | None
    augmentation: Augmentation
    evaluation: Evaluation

    def __post_init__(self) -> None:
        for name, value, known in (("decay", self.decay, DECAYS), ("optimizer", self.optimizer, OPTIMIZERS)):
            if value not in known:
                raise ConfigError(f"schedule.{name} is '{value}'; expected one of {', '.join(known)}")
        for name in ("max_steps", "batch_size", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"schedule.{name} is {getattr(self, name)}; expected at least 1")
        if self.lr <= 0:
            raise ConfigError(f"schedule.lr is {self.lr}; expected more than 0")

    def factor(self, step: int, steps: int) -> float:
        """The share of the learning rate at a step.

        Args:
            step: of the optimizer, from 0.
            steps: how many there are.
        """
        if step < self.warmup:
            return self.warmup_factor + (1 - self.warmup_factor) * step / self.warmup
        if self.decay == POLY:
            return float(max(0.0, 1 - step / steps) ** self.power)
        if self.decay == STEPS:
            return 0.1 ** sum(step >= math.floor(share * steps) for share in self.milestones)
        return 1.0

    def optimizers(self, network: Network, steps: int) -> dict[str, Any]:
        """The optimizer and its rates, in Lightning's form.

        Args:
            network: whose parameters that require a gradient are trained.
            steps: of the optimizer.
        """
        groups = [
            {"params": trained, "lr": self.lr * group.rate, "weight_decay": self.weight_decay * group.decay}
            for group in network.groups()
            if (trained := [parameter for parameter in group.parameters if parameter.requires_grad])
        ]
        optimizer: torch.optim.Optimizer = (
            torch.optim.SGD(groups, self.lr, momentum=self.momentum)
            if self.optimizer == SGD
            else torch.optim.AdamW(groups, self.lr)
        )
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.factor(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}
