"""The options that a run is known by: those that can change a mask or a number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# Raised whenever the same options and inputs give another mask or number than before.
RESULTS_VERSION = 1

# Options that change where, how fast or how loudly a job runs, or what else it leaves, but no mask and no number.
IMMATERIAL = (
    "force", "paths", "logger", "trainer", "callbacks", "num_workers", "name", "save_masks", "save_candidates",
    "optimized_metric", "shard",
)  # fmt: skip
IMMATERIAL_PARTS = {
    "backbone": ("device", "cache", "cache_max_gb"),
    "refiner": ("chunk_size", "device"),
    "trainer": (
        "accelerator", "devices", "num_nodes", "strategy", "enable_checkpointing", "enable_progress_bar",
        "enable_model_summary", "use_distributed_sampler", "log_every_n_steps", "profiler", "default_root_dir",
    ),
}  # fmt: skip
# What decides refined masks alone: nothing where a network is trained on other masks.
REFINING = (
    "refiner", "prompts", "adaption", "guard", "verdict", "zoom", "clean", "form", "regions", "mask_kind", "seed",
)  # fmt: skip
OWN_CALLBACKS = "samref.callbacks."
# Of Lightning's trainer: how many images are run depends on how many were left to do.
LIMITING = ("limit_test_batches", "limit_predict_batches", "fast_dev_run")


def material(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options that can change a mask or a number.

    Args:
        config: the resolved configuration.
    """
    training = as_mapping(config.get("training"))
    aside = REFINING if training and training.get("masks") != "refined" else ()
    kept = {key: value for key, value in config.items() if key not in (*IMMATERIAL, *aside)}
    if aside:
        kept["hydra_choices"] = {key: value for key, value in config["hydra_choices"].items() if key not in aside}
    for group, keys in IMMATERIAL_PARTS.items():
        if isinstance(config.get(group), Mapping) and group not in aside:
            options = {key: value for key, value in config[group].items() if key not in keys}
            if group not in IMMATERIAL or set(options) - {"_target_"}:
                kept[group] = options
    foreign = {name: part for name, part in as_mapping(config.get("callbacks")).items() if _is_foreign(part)}
    return {**kept, "callbacks": foreign} if foreign else kept


def fingerprint(config: Mapping[str, Any]) -> str:
    """Eight characters that two configurations share exactly when they name the same results."""
    text = json.dumps(material(config), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def producing(config: Mapping[str, Any]) -> list[Any]:
    """The options that decide which files a run leaves beside its masks and numbers."""
    callbacks = {name: part for name, part in as_mapping(config.get("callbacks")).items() if name != "progress"}
    return [config.get("save_masks"), config.get("save_candidates"), callbacks]


def is_limited(config: Mapping[str, Any]) -> bool:
    """Whether the trainer, and not the data set, decides how many images are run."""
    return any(as_mapping(config.get("trainer")).get(key) is not None for key in LIMITING)


def as_mapping(value: Any) -> Mapping[str, Any]:
    """A group of a configuration; empty where it was left out."""
    return value if isinstance(value, Mapping) else {}


def _is_foreign(part: Any) -> bool:
    target = as_mapping(part).get("_target_")
    return bool(part) and isinstance(part, Mapping) and not str(target).startswith(OWN_CALLBACKS)
