"""Trainers, built from the configuration, for fitting and for testing alike."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from omegaconf import DictConfig

from samref.configs import build


def make_trainer(cfg: DictConfig, folder: Path, callbacks: list[Callback], **options: Any) -> Trainer:
    """A trainer of the group `trainer` with the logger of the group `logger`.

    Args:
        cfg: composed configuration.
        folder: where loggers and checkpoints write.
        callbacks: of this run; those of `callbacks.extra` are added.
        **options: more of Lightning's options.
    """
    _quiet()
    logger: Any = False
    if cfg.logger.get("_target_"):
        logger = build(cfg.logger, **({"save_dir": str(folder)} if "save_dir" in cfg.logger else {}))
    extra = [build(callback) for callback in cfg.callbacks.extra.values()]
    everything = {"logger": logger, "callbacks": [*callbacks, *extra], "default_root_dir": str(folder), **options}
    # Partial, because Hydra would turn the list of callbacks into a configuration of its own.
    trainer: Trainer = build(cfg.trainer, _partial_=True)(**everything)
    return trainer


def _quiet() -> None:
    """Silences what Lightning says of devices, loggers and workers: a run's own lines are what a user reads."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"lightning\..*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
