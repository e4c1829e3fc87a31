"""From a name or a configuration to a backbone, behind a cache of embeddings where one is worth it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypedDict, cast, get_type_hints

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from samref.backbones.backbone import Backbone
from samref.backbones.cache import CachedBackbone, EmbeddingStore, embeddings_folder
from samref.config.compose import build, compose_config
from samref.config.validate import check_kinds
from samref.errors import ConfigError


class CacheOptions(TypedDict):
    """Options of the group `backbone` that are the cache's and no constructor's."""

    cache: bool | str
    cache_max_gb: float
    cache_precision: str


def open_backbone(cfg: DictConfig, **parts: Any) -> Backbone:
    """The backbone that an option of `conf/backbone` describes.

    Args:
        cfg: the group `backbone` of a configuration. Its `cache` is `true`, `false` or `auto`: on in sweeps, whose jobs
            share images, and wherever `cache_precision` is not `fp32`, so that no result depends on whether a run was
            part of a sweep.
        **parts: constructor arguments that replace those of the configuration.

    Returns:
        The backbone, frozen, with its weights.

    Raises:
        ConfigError: for values that make no sense.
        WeightsError: when weights cannot be found, verified or loaded.
    """
    hints = get_type_hints(CacheOptions)
    check_kinds(cfg, hints)
    options = {key: cfg[key] for key in hints if key in cfg}
    # A copy keeps its place in the configuration, which errors name: backbone.img_size.
    own = deepcopy(cfg)
    with open_dict(own):
        for key in options:
            del own[key]
    mode = options.get("cache", False)
    if mode not in (True, False, "auto"):
        raise ConfigError(f"backbone.cache is {mode!r}; expected auto, true or false")
    precision = options.get("cache_precision", "fp32")
    if mode is False and precision != "fp32":
        raise ConfigError(
            f"backbone.cache_precision is {precision} but backbone.cache is false; leave out one of the two, for "
            "without a cache nothing is kept in that precision"
        )
    backbone: Backbone = build(own, **parts)
    if mode is False or (mode == "auto" and not in_sweep() and precision == "fp32"):
        return backbone
    store = EmbeddingStore(embeddings_folder(), options["cache_max_gb"])
    return cast(Backbone, CachedBackbone(backbone, store, precision))


def build_backbone(name: str, device: str = "cpu", **options: Any) -> Backbone:
    """A frozen backbone with its weights and without a cache.

    Args:
        name: option of the group `backbone`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        **options: `weights`, `sha256`, `precision`, `compile`; see `conf/backbone`.

    Returns:
        The backbone.

    Raises:
        ConfigError: for an unknown name, or values that make no sense.
        WeightsError: when the weights cannot be found, verified or loaded.
    """
    cfg = compose_config([f"backbone={name}", "backbone.cache=false"]).backbone
    return open_backbone(cfg, device=device, **options)


def in_sweep() -> bool:
    """Whether Hydra runs this process's job as one of several."""
    return bool(HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN)
