"""Files of trained networks, and the weights that a network starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from samref.errors import WeightsError
from samref.io.atomic import atomic_path
from samref.training.networks.network import Network

KEY = "samref.network"
# What torchvision publishes of the bodies, as its own detectors start from.
RESNETS = {
    "resnet18": "ResNet18_Weights.IMAGENET1K_V1",
    "resnet50": "ResNet50_Weights.IMAGENET1K_V1",
    "resnet101": "ResNet101_Weights.IMAGENET1K_V1",
}


def save_network(path: Path, network: Network, facts: Mapping[str, Any]) -> None:
    """Writes what a network has learned, atomically.

    Args:
        path: of the safetensors file.
        network: trained.
        facts: JSON values that are kept with it: its options and classes.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.kept().items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, {KEY: json.dumps({"name": type(network).__name__, **facts})})


def load_network(path: Path, network: Network) -> None:
    """Loads what `save_network` wrote into a network of the same kind.

    Args:
        path: of the file.
        network: to load it into.

    Raises:
        WeightsError: for another file, or one of another network.
    """
    tensors, facts = _read(path)
    _demand_same(path, facts.get("name"), network)
    wanted = {name: tuple(value.shape) for name, value in network.kept().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if wanted != found:
        name = next(iter(wanted.items() ^ found.items()))[0]
        raise WeightsError(
            f"{path} is a {type(network).__name__} of other sizes ({name} is {found.get(name, 'missing')}; expected "
            f"{wanted.get(name, 'none')}); choose the options and classes that it was trained with, or another file"
        )
    network.load_state_dict(tensors, strict=False)


def file_facts(path: Path) -> dict[str, Any]:
    """What is kept with the weights of a file.

    Args:
        path: of a file that `save_network` wrote.

    Raises:
        WeightsError: for any other file.
    """
    return _read(path)[1]


def start_from(network: Network, pretrained: bool | str | Path) -> None:
    """Loads the file that a network starts from; `false` and `true` are for networks with published weights.

    Raises:
        WeightsError: for a file of another network, or where weights are wanted that nobody published.
    """
    if pretrained is True:
        raise WeightsError(
            f"network.pretrained is true, but nobody publishes weights of {type(network).__name__}; expected false or "
            "a file of such a network"
        )
    if pretrained is not False:
        load_network(Path(pretrained).expanduser(), network)


def published(weights: str) -> Mapping[str, Any]:
    """The state dict of weights that torchvision publishes, by torchvision's own loader and cache.

    Args:
        weights: such as `ResNet50_Weights.IMAGENET1K_V1`.

    Raises:
        WeightsError: where they are not at hand and cannot be fetched.
    """
    try:
        state: Mapping[str, Any] = models.get_weight(weights).get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"torchvision's {weights} cannot be fetched ({reason}); connect once, put a file in place by "
            "network.pretrained=FILE, or start from nothing by network.pretrained=false"
        ) from error
    return state


def start_backbone(body: nn.Module, pretrained: bool | str | Path, weights: str) -> None:
    """Gives a torchvision backbone its starting weights.

    Args:
        body: such as `resnet101`; keys that it does not have, such as a classifier's, are left out.
        pretrained: true: what torchvision publishes; false: nothing; a file: a state dict of the backbone.
        weights: torchvision's name of what it publishes.

    Raises:
        WeightsError: for a file that is none, or of another backbone.
    """
    if pretrained is False:
        return
    path = None if pretrained is True else Path(pretrained).expanduser()
    state = published(weights) if path is None else _state_dict(path)
    own = body.state_dict()
    kept = {key: value for key, value in state.items() if key in own}
    missing = [key for key in own if key not in kept and "num_batches_tracked" not in key]
    other = [key for key, value in kept.items() if own[key].shape != value.shape]
    if missing or other:
        raise WeightsError(
            f"{path or weights} is of another network ({(missing + other)[0]} does not fit); expected weights of the "
            f"backbone, with torchvision's names as in {weights}"
        )
    body.load_state_dict(kept, strict=False)


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive fails in as many ways as it has formats
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(f"{path} cannot be read as weights ({reason}); give another network.pretrained") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds no state dict; expected one as torchvision publishes them")
    return state


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get(KEY, "null"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{path} cannot be read as a trained network ({reason}); give another file") from error
    if not isinstance(facts, dict):
        raise WeightsError(f"{path} was not written by a training run of samref; expected its network.safetensors")
    return tensors, facts


def _demand_same(path: Path, name: Any, network: Network) -> None:
    if name != type(network).__name__:
        raise WeightsError(f"{path} is a {name}; expected a {type(network).__name__}, or choose the network it is of")


def is_own_file(pretrained: bool | str | Path) -> bool:
    """Whether what a network is to start from is a file that `save_network` wrote."""
    if isinstance(pretrained, bool):
        return False
    try:
        with safe_open(Path(pretrained).expanduser(), framework="pt") as file:
            return KEY in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False
