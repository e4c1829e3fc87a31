"""The arithmetic of other refiners' networks."""

from __future__ import annotations

import torch

from samref.errors import ConfigError

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


def check_precision(precision: str) -> None:
    """Raises `ConfigError` for a precision that is not known."""
    if precision not in PRECISIONS:
        raise ConfigError(f"refiner.precision is '{precision}'; expected {' or '.join(PRECISIONS)}")


def computing_in(precision: str, device: torch.device) -> torch.autocast:
    """What runs a network in a precision; weights and results stay in single precision."""
    dtype = PRECISIONS[precision]
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)
