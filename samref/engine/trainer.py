"""Trainers, built from the configuration, for fitting and for testing alike."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher
from omegaconf import DictConfig

from samref.config.compose import build
from samref.engine.job import Job
from samref.errors import ConfigError

EXACT = (None, 32, "32", "32-true")


def make_trainer(
    cfg: DictConfig, folder: Path, callbacks: list[Callback], device: torch.device, **options: Any
) -> Trainer:
    """A trainer of the group `trainer` with the logger of the group `logger`.

    Args:
        cfg: composed configuration.
        folder: where loggers and checkpoints write.
        callbacks: of this run; those of `callbacks.extra` are added.
        device: of the model, which the trainer follows.
        **options: more of Lightning's options.

    Raises:
        ConfigError: for options that Lightning does not take, or that name another device.
    """
    _quiet()
    logger = make_logger(cfg, folder)
    extra = [build(callback) for callback in cfg.callbacks.extra.values()]
    everything = {"logger": logger, "callbacks": [*callbacks, *extra], "default_root_dir": str(folder)}
    everything |= {**placement(cfg, device), **options}
    # Partial, because Hydra would turn the list of callbacks into a configuration of its own.
    make = build(cfg.trainer, _partial_=True)
    try:
        trainer: Trainer = make(**everything)
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise ConfigError(
            f"trainer.strategy={cfg.trainer.get('strategy', 'auto')} keeps what its processes measure to themselves; "
            "expected ddp"
        )
    return trainer


def device_of(refiner: Any) -> torch.device:
    """Where a refiner's backbone or network is; the processor for those without one."""
    found = getattr(getattr(refiner, "backbone", None) or refiner, "device", None)
    return torch.device("cpu") if found is None else torch.device(found)


def placement(cfg: DictConfig, device: torch.device) -> dict[str, Any]:
    """Lightning's options for a device: `backbone.device` decides it, and nothing else does.

    Args:
        cfg: composed configuration.
        device: of the model.

    Raises:
        ConfigError: for a `trainer.accelerator` that names another one, or an arithmetic of the trainer's own.
    """
    accelerator = "gpu" if device.type == "cuda" else device.type
    wanted = str(cfg.trainer.get("accelerator", "auto")).lower()
    if wanted not in ("auto", accelerator, device.type):
        raise ConfigError(
            f"trainer.accelerator is {wanted} but the model is on {device}; leave it out, for the trainer follows "
            "backbone.device"
        )
    precision = cfg.trainer.get("precision")
    if precision not in EXACT:
        raise ConfigError(
            f"trainer.precision is {precision}; expected {EXACT[-1]}: backbone.precision decides the arithmetic of the "
            "image encoder, and everything else is exact"
        )
    one = device.index is not None and cfg.trainer.get("devices", 1) == 1
    return {"accelerator": accelerator, **({"devices": [device.index]} if one and accelerator == "gpu" else {})}


def make_logger(cfg: DictConfig, folder: Path) -> Any:
    """The logger of the group `logger`; False for none.

    One that has a method `log_config` is given the configuration at once.
    """
    if not cfg.logger.get("_target_"):
        return False
    job = Job.of(cfg)
    places = {"save_dir": str(folder), "job_folder": str(job.folder)}
    try:
        logger = build(cfg.logger, **{key: place for key, place in places.items() if key in cfg.logger})
    except ConfigError as error:
        if not isinstance(_root_cause(error), ModuleNotFoundError):
            raise
        package = str(cfg.logger._target_).split(".")[-2].removesuffix("_log")
        raise ConfigError(
            f"logger={package} needs a package that is not installed: pip install 'samref[{package}]', or logger=csv"
        ) from error
    if hasattr(logger, "log_config"):
        logger.log_config(job.config)
    return logger


def log_report(trainer: Trainer, report: Mapping[str, Any]) -> None:
    """Shows a job's report to the loggers that have a method `log_report`."""
    for logger in trainer.loggers:
        if hasattr(logger, "log_report"):
            logger.log_report(report)


@contextmanager
def closing_logger(cfg: DictConfig) -> Iterator[None]:
    """Calls the method `close_job` of the logger's class, if it has one, with whether the job failed."""
    failed = True
    try:
        yield
        failed = False
    finally:
        # Looked up where the run has loaded it already; ending a job must not import anything.
        module, _, name = str(cfg.logger.get("_target_") or "").rpartition(".")
        close = getattr(getattr(sys.modules.get(module), name, None), "close_job", None)
        if close is not None:
            close(failed)


def _root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _quiet() -> None:
    """Silences Lightning's lines on devices, loggers and workers: a run's own lines are what a user reads."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"lightning\..*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
