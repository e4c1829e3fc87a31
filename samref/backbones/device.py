"""The device that a model runs on."""

from __future__ import annotations

import torch

from samref.errors import ConfigError


def resolve_device(device: str) -> torch.device:
    """The device an option names; `auto` is CUDA where there is one, else the CPU.

    Raises:
        ConfigError: for a name torch does not know, or a device this machine does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"backbone.device is {device!r}; expected auto, cpu, cuda or cuda:N") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"backbone.device is {device!r} but this machine has {torch.cuda.device_count()} CUDA devices; "
            "use backbone.device=cpu or auto"
        )
    return found
