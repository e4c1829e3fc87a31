"""LoRA for linear layers: `adapter_params`, `get_adapter_params`, `set_trainable_params`, `merge`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from samref.errors import ConfigError

PLACEMENTS = ("last", "all")


class LoRALinear(nn.Module):
    """A frozen linear layer plus `alpha / rank * B A`; B starts at zero, so it starts as the layer itself."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, generator: torch.Generator | None = None) -> None:
        """Wraps a layer.

        Args:
            linear: stays as it is, and frozen.
            rank: of the update.
            alpha: the update is scaled by `alpha / rank`.
            generator: of A's random start; a CPU generator.
        """
        super().__init__()
        if rank < 1:
            raise ConfigError(f"adaption.rank is {rank}; expected at least 1")
        self.linear, self.rank, self.alpha = linear, rank, alpha
        where = {"device": linear.weight.device, "dtype": linear.weight.dtype}
        self.lora_a = nn.Linear(linear.in_features, rank, bias=False, **where)
        self.lora_b = nn.Linear(rank, linear.out_features, bias=False, **where)
        bound = 1 / math.sqrt(linear.in_features)
        start = torch.empty(rank, linear.in_features).uniform_(-bound, bound, generator=generator)
        with torch.no_grad():
            self.lora_a.weight.copy_(start)
        nn.init.zeros_(self.lora_b.weight)

    def forward(self, x: Tensor) -> Tensor:
        """The adapted layer's output."""
        adapted: Tensor = self.linear(x) + self.alpha / self.rank * self.lora_b(self.lora_a(x))
        return adapted

    def adapter_params(self) -> list[str]:
        """Names of this module's parameters that belong to the adaptor."""
        return ["lora_a.weight", "lora_b.weight"]

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """A plain layer with the update added to its weight, for export."""
        merged = nn.Linear(self.linear.in_features, self.linear.out_features, bias=self.linear.bias is not None)
        merged = merged.to(self.linear.weight)
        merged.weight.copy_(self.linear.weight + self.alpha / self.rank * self.lora_b.weight @ self.lora_a.weight)
        if self.linear.bias is not None:
            merged.bias.copy_(self.linear.bias)
        return merged.requires_grad_(False)


def get_adapter_params(model: nn.Module) -> dict[str, nn.Parameter]:
    """All adaptor parameters inside a model, by their full names."""
    found = {}
    for prefix, module in model.named_modules():
        for name in module.adapter_params() if isinstance(module, LoRALinear) else ():
            found[f"{prefix}.{name}" if prefix else name] = module.get_parameter(name)
    return found


def set_trainable_params(model: nn.Module, adapter_params: Mapping[str, Any]) -> None:
    """Makes exactly the named parameters of a model require gradients."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in adapter_params)


def adapt_head(iou_head: Any, rank: int, alpha: float, placement: str, seed: int) -> None:
    """Puts LoRA on the IoU head's last linear layer (the paper's place), or on all of them (an ablation)."""
    if placement not in PLACEMENTS:
        raise ConfigError(f"adaption.placement is '{placement}'; expected one of {', '.join(PLACEMENTS)}")
    generator = torch.Generator().manual_seed(seed)
    count = len(iou_head.layers)
    for index in range(count - 1 if placement == "last" else 0, count):
        iou_head.layers[index] = LoRALinear(iou_head.layers[index], rank, alpha, generator)


@contextmanager
def original_head(iou_head: Any) -> Iterator[None]:
    """Gives the IoU head its own layers back afterwards: the jobs of a sweep share one backbone."""
    layers = list(iou_head.layers)
    try:
        yield
    finally:
        for index, layer in enumerate(layers):
            iou_head.layers[index] = layer


def merge_head(iou_head: Any) -> None:
    """Replaces every adapted layer of the IoU head by its merged one."""
    for index, layer in enumerate(iou_head.layers):
        if isinstance(layer, LoRALinear):
            iou_head.layers[index] = layer.merge()
