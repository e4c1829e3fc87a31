"""From a name or a configuration to a backbone, behind a cache of embeddings where one is worth it."""

from __future__ import annotations

import shutil
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from samref.backbones.backbone import Backbone
from samref.backbones.cache import CachedBackbone, EmbeddingStore, embeddings_folder
from samref.backbones.device import resolve_device
from samref.config.compose import build, compose_config
from samref.config.shipped import config_dir
from samref.config.validate import kind_problems, raise_all, written_kinds
from samref.errors import ConfigError

# One image's, of 1170 ms of encoding by MobileSAM on one core, are written in less than 1 % of that and read in 9 ms.
SINGLE_RUN_IMAGES = 500  # 2.1 GB of SAM's embeddings, 6.3 GB of HQ-SAM's, 8.4 GB of SAM 2's
EMBEDDING_BYTES = 21_200_000  # of one image, SAM 3's in single precision; SAM's take a fifth
SHARE_OF_FREE = 0.1


@dataclass
class CacheOptions:
    """Options of the group `backbone` that are the cache's and no constructor's.

    Attributes:
        cache: whether embeddings are kept; `auto`: where a second look is likely.
        cache_max_gb: of the whole cache on disk.
        cache_precision: of what is kept.
    """

    cache: bool | str
    cache_max_gb: float
    cache_precision: str


def open_backbone(cfg: DictConfig, **parts: Any) -> Backbone:
    """The backbone that an option of `conf/backbone` describes.

    Args:
        cfg: the group `backbone` of a configuration. Its `cache` is `true`, `false` or `auto`, see `keeps_embeddings`.
        **parts: constructor arguments that replace those of the configuration.

    Returns:
        The backbone, frozen, with its weights.

    Raises:
        ConfigError: for values that make no sense.
        WeightsError: when weights cannot be found, verified or loaded.
    """
    known = written_kinds(CacheOptions)
    raise_all(kind_problems(cfg, known))
    options = {key: cfg[key] for key in known if key in cfg}
    # A copy keeps its place in the configuration, which errors name: backbone.img_size.
    own = deepcopy(cfg)
    with open_dict(own):
        for key in options:
            del own[key]
    kept = keeps_embeddings(cfg)
    backbone: Backbone = build(own, **parts)
    if not kept:
        return backbone
    store = EmbeddingStore(embeddings_folder(), options["cache_max_gb"])
    return cast(Backbone, CachedBackbone(backbone, store, options["cache_precision"]))


def keeps_embeddings(cfg: DictConfig, images: int | None = None) -> bool:
    """Whether a backbone's embeddings are kept on disk.

    With `auto` they are in sweeps, whose jobs share images; wherever `cache_precision` is not `fp32`, so that no result
    depends on whether a run was part of a sweep; and in single runs that are likely to be followed by another with
    other options, where keeping costs nothing beside encoding: on a processor, for few images, with room on the disk.

    Args:
        cfg: the group `backbone` of a configuration.
        images: of the run; None if they are not known, as for calls from Python.

    Returns:
        Whether they are.

    Raises:
        ConfigError: for values of `cache` and `cache_precision` that make no sense.
    """
    mode, precision = cfg.get("cache", False), cfg.get("cache_precision", "fp32")
    if mode not in (True, False, "auto"):
        raise ConfigError(f"backbone.cache is {mode!r}; expected auto, true or false")
    if mode is False and precision != "fp32":
        raise ConfigError(
            f"backbone.cache_precision is {precision} but backbone.cache is false; leave out one of the two, for "
            "without a cache nothing is kept in that precision"
        )
    if mode != "auto":
        return bool(mode)
    return in_sweep() or precision != "fp32" or (images is not None and _worth_keeping(cfg, images))


def _worth_keeping(cfg: DictConfig, images: int) -> bool:
    """Whether a single run keeps its embeddings."""
    # A random model encodes as fast as an embedding is read.
    slow = "weights" in cfg and resolve_device(str(cfg.device)).type == "cpu"
    return slow and images <= SINGLE_RUN_IMAGES and images * EMBEDDING_BYTES <= SHARE_OF_FREE * _free_bytes()


def _free_bytes() -> int:
    folder = embeddings_folder()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


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
    """Whether this process's job is one of several of `samref run`; a sweep of somebody else's program is not."""
    if not HydraConfig.initialized():
        return False
    hydra = HydraConfig.get()
    ours = str(config_dir()) in (source.path for source in hydra.runtime.config_sources)
    return bool(ours and hydra.mode == RunMode.MULTIRUN)
