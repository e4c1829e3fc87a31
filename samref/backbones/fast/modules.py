"""The published architectures, as their own packages build them, without weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import segment_anything
import torch
from torch import nn

from samref.backbones.sam_backbone import SamModules
from samref.errors import ConfigError


def sam_modules(architecture: str) -> SamModules:
    """`segment-anything`'s model.

    Parameters are on the meta device: initializing 600 M numbers only to overwrite them costs seconds and
    twice the memory. Loading a checkpoint replaces them.

    Args:
        architecture: `vit_b`, `vit_l` or `vit_h`.

    Raises:
        ConfigError: for another architecture.
    """
    build = _builder(segment_anything.sam_model_registry, architecture)
    with torch.device("meta"):
        return _parts(build())


def hq_sam_modules(architecture: str) -> SamModules:
    """`segment-anything-hq`'s model; parameters of the ViTs are on the meta device, as in `sam_modules`.

    Args:
        architecture: `vit_tiny`, `vit_b`, `vit_l` or `vit_h`.

    Raises:
        ConfigError: for another architecture.
    """
    build = _builder(import_hq().sam_model_registry, architecture)
    if architecture == "vit_tiny":
        return _without_classifier(_parts(build()))
    with torch.device("meta"):
        return _parts(build())


def mobile_sam_modules() -> SamModules:
    """MobileSAM: TinyViT, SAM's prompt encoder and SAM's mask decoder, with random parameters."""
    return _without_classifier(_parts(import_hq().sam_model_registry_baseline["vit_tiny"]()))


def import_hq() -> Any:
    """The package `segment_anything_hq`, without the warnings of its import."""
    # timm deprecates the paths it imports, and reports that TinyViT is registered twice.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import segment_anything_hq
    return segment_anything_hq


def _builder(registry: dict[str, Callable[[], nn.Module]], architecture: str) -> Callable[[], nn.Module]:
    names = [name for name in registry if name != "default"]
    if architecture not in names:
        raise ConfigError(f"the architecture of the backbone is {architecture!r}; expected {', '.join(names)}")
    return registry[architecture]


def _parts(sam: Any) -> SamModules:
    return SamModules(sam.image_encoder, sam.prompt_encoder, sam.mask_decoder)


def _without_classifier(modules: SamModules) -> SamModules:
    modules.image_encoder.norm_head = nn.Identity()
    modules.image_encoder.head = nn.Identity()
    return modules
