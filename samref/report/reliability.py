"""Reliability diagrams: the IoU that masks have, by the score that they were given.

`experiments/*/reliability.yaml` has a `title`, an `experiment` and `where`, what the configuration of its runs holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from samref.report.calibration import Bin, calibration_error, pool
from samref.report.published import read_spec
from samref.report.runs import Run


@dataclass(frozen=True)
class Reliability:
    """The diagram.

    Attributes:
        name: of its files.
        title: as it shows it.
        bins: of all runs together, see `samref.report.calibration.calibration`; empty where there is no run.
        runs: how many runs.
        error: mean distance of score and IoU.
    """

    name: str
    title: str
    bins: tuple[Bin, ...]
    runs: int
    error: float


def read_reliability(path: Path, runs: Sequence[Run]) -> Reliability:
    """The calibration of the runs of an experiment.

    Args:
        path: of a reliability.yaml, in a folder of `experiments/`.
        runs: newest first; of runs with the same configuration the newest counts.

    Raises:
        ConfigError: for a file with other keys.
    """
    spec = read_spec(path, ("title", "experiment", "where"), ())
    newest: dict[str, Run] = {}
    for run in runs:
        if run.experiment == spec["experiment"] and run.matches(spec["where"]) and run.report.get("calibration"):
            newest.setdefault(str(run.report.get("identity", run.path)), run)
    bins = pool([run.report["calibration"] for run in newest.values()])
    name = f"{path.parent.name}_reliability"
    return Reliability(name, spec["title"], tuple(bins), len(newest), calibration_error(bins))
