"""The loggers of a run: where metrics go beside its report."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.loggers import Logger

from samref.config.compose import build
from samref.engine.run_config import Part, RunConfig
from samref.errors import ConfigError


def make_loggers(config: RunConfig, folder: Path) -> list[Logger]:
    """The loggers of the group `logger`.

    One that has a method `log_config` is given the configuration at once.

    Args:
        config: of the run.
        folder: where those that write files write.

    Raises:
        ConfigError: for one whose package is not installed.
    """
    places = {"save_dir": str(folder), "job_folder": str(config.folder)}
    loggers = [_built(part, places) for part in config.loggers]
    for logger in loggers:
        if hasattr(logger, "log_config"):
            logger.log_config(config.resolved)
    return loggers


def log_report(trainer: Trainer, report: Mapping[str, Any]) -> None:
    """Shows a run's report to the loggers that have a method `log_report`."""
    for logger in trainer.loggers:
        if hasattr(logger, "log_report"):
            logger.log_report(report)


@contextmanager
def closing_loggers(loggers: Sequence[Part]) -> Iterator[None]:
    """Calls the method `close_job` of each logger's class, if it has one, with whether the job failed."""
    failed = True
    try:
        yield
        failed = False
    finally:
        for part in loggers:
            # Looked up where the run has loaded it already; ending a job must not import anything.
            module, _, name = str(part._target_).rpartition(".")
            close = getattr(getattr(sys.modules.get(module), name, None), "close_job", None)
            if close is not None:
                close(failed)


def _built(part: Part, places: Mapping[str, str]) -> Logger:
    try:
        logger: Logger = build(part, **{key: place for key, place in places.items() if key in part})
    except ConfigError as error:
        if not isinstance(_root_cause(error), ModuleNotFoundError):
            raise
        package = str(part._target_).split(".")[-2].removesuffix("_log")
        raise ConfigError(
            f"logger={package} needs a package that is not installed: pip install 'samref[{package}]', or logger=csv"
        ) from error
    return logger


def _root_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
