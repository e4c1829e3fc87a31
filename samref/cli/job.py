"""One job of a command: checked and announced first; only then what is slow to import is imported and run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from samref.config.check import check_config
from samref.errors import ConfigError


class Ended(NamedTuple):
    """How a job ended.

    Attributes:
        sentence: on images that failed, with the first reason; None if all went well.
        number: that a sweeper optimizes; None where nothing is scored, and in helping processes.
    """

    sentence: str | None
    number: float | None


def run_job(
    cfg: DictConfig, command: str, announce: bool = True, brief: bool = False, folder: Path | None = None
) -> Ended:
    """Runs one job and prints what came out.

    Args:
        cfg: composed configuration.
        command: what the user typed, for the report.
        announce: whether to say at once what is being loaded.
        brief: one line in place of a table, for the jobs of a sweep.
        folder: for the results; None: one below `paths.outputs` that is named by the options.

    Returns:
        How it ended.

    Raises:
        SamrefError: for anything the user can fix.
    """
    check_config(cfg)
    first = os.environ.get("LOCAL_RANK", "0") == "0"
    if announce and first:
        choices = cfg.hydra_choices
        named = (choices.get(group) for group in ("network", "backbone", "refiner"))
        print(f"loading {next(filter(None, named), 'the refiner')} ...", flush=True)
    # Threads that wait for each other awake take turns with whatever else runs, and wait longer for it.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from samref.engine.job import first_process
    from samref.engine.runner import run
    from samref.report.screen import print_report

    report = run(cfg, command, folder)
    if not first_process():
        return Ended(None, None)
    print_report(report, brief=brief)
    number = optimized(report["metrics"], cfg.optimized_metric)
    failures = report["failures"]
    if not failures:
        return Ended(None, number)
    count = f"{len(failures)} images failed, first: " if len(failures) > 1 else ""
    return Ended(f"{count}{failures[0]['reason']}; see `failures` in report.json", number)


def optimized(metrics: Mapping[str, Mapping[str, float]], name: str | None) -> float | None:
    """The number that a sweeper optimizes.

    Args:
        metrics: of a report.
        name: such as `refined.iou`; None: the first of the trained network, or of the refined masks.

    Raises:
        ConfigError: if there is no metric of this name.

    >>> optimized({"coarse": {"iou": 0.5}, "refined": {"iou": 0.75}}, None)
    0.75
    """
    known = {f"{part}.{key}": value for part, values in metrics.items() for key, value in values.items()}
    if name is None:
        return next(iter((metrics.get("trained") or metrics.get("refined", {})).values()), None)
    if name not in known:
        raise ConfigError(f"optimized_metric is {name}; expected {' or '.join(known) or 'null, for nothing is scored'}")
    return known[name]
