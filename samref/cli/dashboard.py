"""`samref dashboard SWEEP`: a saved view of a sweep on Weights & Biases."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from samref.config.paths import path_problem
from samref.errors import ConfigError


def main(words: Sequence[str]) -> int:
    """Saves the view and prints its address.

    Raises:
        SamrefError: when something is wrong.
    """
    parser = argparse.ArgumentParser(
        prog="samref dashboard",
        description="A saved view of a sweep on Weights & Biases: the metrics of its group against what was swept.",
    )
    parser.add_argument("sweep", type=Path, metavar="SWEEP", help="folder of the sweep, such as outputs/NAME")
    folder = parser.parse_args(words).sweep.expanduser()
    if problem := path_problem("", str(folder), "InputFolder"):
        raise ConfigError(problem)
    # Lightning, which the logger is made of, is slow to come up.
    from samref.loggers.wandb_dashboard import Sweep, save
    from samref.report.runs import find_reports, read_runs

    runs, problems = read_runs(find_reports([folder]))
    for problem in problems:
        print(f"left out: {problem}")
    print(f"dashboard: {save(Sweep.of(runs))}")
    return 0
