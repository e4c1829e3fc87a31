"""From a backbone's name to a model with verified weights."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from samref.backbones.weights.checkpoint import load_strictly, read_state_dict
from samref.backbones.weights.fetch import find_weights
from samref.backbones.weights.layouts import layout_of
from samref.backbones.weights.registry import CHECKPOINTS
from samref.errors import WeightsError


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
    state = read_state_dict(found.path)
    layout = layout_of(state)
    if layout is not None and not set(layout.options) & CHECKPOINTS.keys():
        raise WeightsError(f"{found.path} is a checkpoint of {layout.title}; {layout.use} in place of backbone={name}")
    load_strictly(module, state, f"{found.path} for {name}")
    return found.sha256
