"""From a backbone's name to a model with verified weights."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from samref.backbones.weights.checkpoint import load_strictly, read_state_dict
from samref.backbones.weights.fetch import find_weights


def load_checkpoint(module: nn.Module, name: str, weights: str | Path | None = None, sha256: str | None = None) -> str:
    """Finds, verifies and strictly loads the weights of a backbone.

    Args:
        module: the model; its parameters may be on the meta device.
        name: the backbone's option name.
        weights: path of the user's own checkpoint, or None for the published one.
        sha256: accept only a file with this hash.

    Returns:
        The hash of what was loaded.

    Raises:
        WeightsError: when nothing was found or verified, or when it is another model's checkpoint.
    """
    found = find_weights(name, weights, sha256)
    load_strictly(module, read_state_dict(found.path), f"{found.path} for {name}")
    return found.sha256
