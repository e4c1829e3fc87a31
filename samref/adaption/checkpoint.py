"""Adaptor files: a few kilobytes of safetensors that know which backbone they belong to."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from samref.adaption.lora import adapt_head, get_adapter_params
from samref.backbones.backbone import Backbone
from samref.backbones.cache.entry import checksum
from samref.errors import WeightsError
from samref.io.atomic import atomic_path

FORMAT = "samref-iou-adaptor-1"


def save_adaptor(path: Path, backbone: Backbone, rank: int, alpha: float, placement: str) -> None:
    """Writes the adaptor in a backbone's IoU head, with what it takes to load it safely."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in get_adapter_params(backbone.iou_head).items()}
    metadata = {
        "format": FORMAT,
        "rank": str(rank),
        "alpha": str(alpha),
        "placement": placement,
        "backbone": backbone.name,
        "backbone_sha256": backbone.weights_sha256,
    }
    metadata["checksum"] = _seal(metadata, tensors)
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata)


def load_adaptor(path: Path, backbone: Backbone) -> None:
    """Puts a saved adaptor on a backbone's IoU head.

    Raises:
        WeightsError: if the file is missing, broken, no adaptor, or was trained on other weights.
    """
    metadata, tensors = _read(path)
    trained = (metadata["backbone"], metadata["backbone_sha256"])
    if trained != (backbone.name, backbone.weights_sha256):
        raise WeightsError(
            f"{path} was trained on {trained[0]} (sha256 {trained[1][:12] or 'none'}), but the backbone is "
            f"{backbone.name} (sha256 {backbone.weights_sha256[:12] or 'none'}); train one with adaption=iou_lora"
        )
    try:
        rank, alpha = int(metadata["rank"]), float(metadata["alpha"])
    except ValueError:
        raise WeightsError(
            f"{path} names the rank {metadata['rank'][:40]!r} and alpha {metadata['alpha'][:40]!r}; "
            "expected numbers: train it again with adaption=iou_lora"
        ) from None
    held = max((max(value.shape, default=0) for value in tensors.values()), default=0)
    if rank > held:
        raise WeightsError(f"{path} names the rank {rank}, but holds no matrix with so many rows; train it again")
    adapt_head(backbone.iou_head, rank, alpha, metadata["placement"], seed=0)
    parameters = get_adapter_params(backbone.iou_head)
    shapes = {name: tuple(value.shape) for name, value in parameters.items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if shapes != found:
        raise WeightsError(f"{path} holds {found}; expected {shapes}")
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(tensors[name])


def _seal(metadata: dict[str, str], tensors: dict[str, Any]) -> str:
    """Changes with any of the names, numbers and tensors of an adaptor."""
    return hashlib.sha256(f"{sorted(metadata.items())} {checksum(tensors)}".encode()).hexdigest()[:32]


def _read(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    if not path.is_file():
        raise WeightsError(f"adaptor {path} is not there; adaption.checkpoint takes a file that adaption=iou_lora left")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"adaptor {path} cannot be read ({error}); train it again with adaption=iou_lora") from error
    missing = {"rank", "alpha", "placement", "backbone", "backbone_sha256"} - set(metadata)
    if metadata.get("format") != FORMAT or missing:
        raise WeightsError(f"{path} is not an adaptor of samref; expected a file that adaption=iou_lora left")
    # Files of earlier versions hold none.
    seal = metadata.pop("checksum", None)
    if seal is not None and seal != _seal(metadata, tensors):
        raise WeightsError(f"adaptor {path} is damaged: its checksum is wrong; train it again with adaption=iou_lora")
    return metadata, tensors
