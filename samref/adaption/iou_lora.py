"""What SAMRefiner++ trains with: the options of `adaption=iou_lora`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from samref.adaption.lora import adapt_head, get_adapter_params, set_trainable_params
from samref.backbones.backbone import Backbone
from samref.config.paths import InputFile
from samref.errors import ConfigError

COARSE, TRUTH, VERDICT = TARGETS = ("coarse", "truth", "verdict")


@dataclass(frozen=True)
class IouLora:
    """LoRA on the IoU head, trained to rank the three candidates as their IoU with the target mask does.

    Attributes:
        rank: of the LoRA update.
        alpha: scale of the update times rank.
        placement: `last` (the paper's: last linear layer of the IoU head) or `all` of its layers.
        prompts: combination of prompts that is trained with, as in the group `prompts`.
        margin: the paper's m, Eq. 4.
        lr: learning rate of SGD.
        momentum: of SGD.
        weight_decay: of SGD.
        milestones: optimiser steps after which the learning rate falls.
        decay: factor by which it falls.
        batch_size: masks an optimiser step.
        epochs: passes over the data set's masks, at least.
        min_steps: optimiser steps at least: a small set is passed over more often.
        seed: of A's start and of the order of masks.
        target: `coarse` (the paper's), `verdict` (what the verdict makes of the coarse mask, as free of
            labels) or `truth` (an upper bound, for analysis).
        cached: whether the frozen part is computed once; False computes it again at each step, with the same numbers.
        checkpoint: a trained adaptor to load in place of training, or None.
    """

    rank: int
    alpha: float
    placement: str
    prompts: Sequence[str]
    margin: float
    lr: float
    momentum: float
    weight_decay: float
    milestones: Sequence[int]
    decay: float
    batch_size: int
    epochs: int
    min_steps: int
    seed: int
    target: str
    cached: bool
    checkpoint: InputFile | None = None

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ConfigError(f"adaption.target is '{self.target}'; expected one of {', '.join(TARGETS)}")
        if self.epochs < 1 or self.batch_size < 1 or self.lr <= 0:
            raise ConfigError(
                f"adaption has epochs={self.epochs}, batch_size={self.batch_size}, lr={self.lr}; "
                "expected at least 1, at least 1 and above 0"
            )

    def passes(self, masks: int) -> int:
        """Epochs over a set of so many masks."""
        steps = math.ceil(max(masks, 1) / self.batch_size)
        return max(self.epochs, math.ceil(self.min_steps / steps))

    def attach(self, backbone: Backbone) -> None:
        """Puts a fresh adaptor on the backbone's IoU head; it starts as the identity."""
        adapt_head(backbone.iou_head, self.rank, self.alpha, self.placement, self.seed)
        set_trainable_params(backbone.iou_head, get_adapter_params(backbone.iou_head))

    def optimizers(self, backbone: Backbone) -> dict[str, Any]:
        """SGD with a stepwise learning rate, in Lightning's form."""
        parameters = list(get_adapter_params(backbone.iou_head).values())
        sgd = torch.optim.SGD(parameters, self.lr, momentum=self.momentum, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.MultiStepLR(sgd, list(self.milestones), self.decay)
        return {"optimizer": sgd, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
