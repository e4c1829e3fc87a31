"""What refiners around a network of their own share: where it is, and in which arithmetic it runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from samref.errors import ConfigError
from samref.refiners.settling import MaskRefiner

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


class NetworkRefiner(MaskRefiner):
    """A refiner around a frozen network.

    Attributes:
        network: in evaluation mode; None where a refiner needs none.
        precision: `fp32` or `bf16`.
    """

    def __init__(self, network: nn.Module | None, device: torch.device, precision: str) -> None:
        """Freezes the network and moves it.

        Args:
            network: or None.
            device: where it runs.
            precision: of its arithmetic; weights and results stay in single precision.
        """
        self.precision, self._device = precision, device
        self.network: Any = None if network is None else network.requires_grad_(False).eval().to(device)

    @property
    def device(self) -> torch.device:
        """Where the network is: a trainer of several processes moves it."""
        parameter = None if self.network is None else next(self.network.parameters(), None)
        return self._device if parameter is None else parameter.device

    def computing(self) -> torch.autocast:
        """What runs the network in its precision."""
        dtype = PRECISIONS[self.precision]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)


def check_precision(precision: str) -> None:
    """Raises `ConfigError` for a precision that is not known."""
    if precision not in PRECISIONS:
        raise ConfigError(f"refiner.precision is '{precision}'; expected {' or '.join(PRECISIONS)}")
