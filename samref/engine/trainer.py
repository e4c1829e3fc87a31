"""Trainers, built from the configuration, for fitting and for testing alike."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher

from samref.config.compose import build
from samref.engine.loggers import make_loggers
from samref.engine.run_config import Part, RunConfig
from samref.errors import ConfigError

EXACT = (None, 32, "32", "32-true")


def make_trainer(
    config: RunConfig, folder: Path, callbacks: list[Callback], device: torch.device | None, **options: Any
) -> Trainer:
    """A trainer of the group `trainer` with the loggers of the group `logger`.

    Args:
        config: of the run.
        folder: where loggers and checkpoints write.
        callbacks: of this trainer.
        device: of the model, which the trainer follows; None: the model goes where `trainer.accelerator` says.
        **options: more of Lightning's options.

    Raises:
        ConfigError: for options that Lightning does not take, or that name another device.
    """
    _quiet()
    loggers = make_loggers(config, folder)
    everything = {"logger": loggers or False, "callbacks": callbacks, "default_root_dir": str(folder)}
    everything |= {**({} if device is None else placement(config.trainer, device)), **options}
    # Partial, because Hydra would turn the list of callbacks into a configuration of its own.
    make = build(config.trainer, _partial_=True)
    try:
        trainer: Trainer = make(**everything)
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise ConfigError(
            f"trainer.strategy={config.trainer.get('strategy', 'auto')} keeps what its processes measure to "
            "themselves; expected ddp"
        )
    return trainer


def device_of(refiner: Any) -> torch.device:
    """Where a refiner's backbone or network is; the processor for those without one."""
    found = getattr(getattr(refiner, "backbone", None) or refiner, "device", None)
    return torch.device("cpu") if found is None else torch.device(found)


def placement(trainer: Part, device: torch.device) -> dict[str, Any]:
    """Lightning's options for a device: `backbone.device` decides it, and nothing else does.

    Args:
        trainer: the group `trainer`.
        device: of the model.

    Raises:
        ConfigError: for a `trainer.accelerator` that names another one, or an arithmetic of the trainer's own.
    """
    accelerator = "gpu" if device.type == "cuda" else device.type
    wanted = str(trainer.get("accelerator", "auto")).lower()
    if wanted not in ("auto", accelerator, device.type):
        raise ConfigError(
            f"trainer.accelerator is {wanted} but the model is on {device}; leave it out, for the trainer follows "
            "backbone.device"
        )
    precision = trainer.get("precision")
    if precision not in EXACT:
        raise ConfigError(
            f"trainer.precision is {precision}; expected {EXACT[-1]}: backbone.precision decides the arithmetic of the "
            "image encoder, and everything else is exact"
        )
    one = device.index is not None and trainer.get("devices", 1) == 1
    return {"accelerator": accelerator, **({"devices": [device.index]} if one and accelerator == "gpu" else {})}


def _quiet() -> None:
    """Silences Lightning's lines on devices, loggers and workers: a run's own lines are what a user reads."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"lightning\..*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
