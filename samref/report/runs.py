"""Reports that runs left, and what their configuration holds."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samref.errors import InputError

# Of the coarse masks, of the refined ones, or of a network that was trained on either.
COARSE, REFINED, TRAINED = "coarse", "refined", "trained"
COSTS = ("s an image", "peak GB")
SECONDS = {"minutes": 60.0, "hours": 3600.0}

Conditions = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
        path: of its report.json.
        report: the content.
        finished: seconds since 1970, to find the newer of two runs.
    """

    path: Path
    report: dict[str, Any]
    finished: float

    @property
    def experiment(self) -> str:
        """Name of the experiment the run belongs to."""
        return str(self.report.get("experiment", ""))

    @property
    def command(self) -> str:
        """What was typed."""
        return str(self.report.get("command") or "")

    def config(self, key: str) -> Any:
        """A value of the run's configuration by its dotted key; `MISSING` where there is none."""
        value: Any = self.report.get("config", {})
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return MISSING
            value = value[part]
        return value

    @property
    def part(self) -> str:
        """Which metrics the run is about: `refined`, or `trained` where it trained a network."""
        return TRAINED if TRAINED in self.report["metrics"] else REFINED

    def matches(self, conditions: Conditions) -> bool:
        """Whether the configuration has every required value; of a list of values it needs any one."""
        return all(same(self.config(key), wanted) for key, wanted in conditions.items())

    def value(self, metric: str, part: str) -> float | None:
        """A metric as tables show it: percent, or the time of the refinement for `minutes` and `hours`."""
        if metric in SECONDS:
            total = _number(self.report.get("timing"), "total") if part != COARSE else None
            return None if total is None else total / SECONDS[metric]
        found = _number(self.report["metrics"].get(part), metric)
        return None if found is None else 100.0 * found

    @property
    def costs(self) -> tuple[float | None, float | None]:
        """What an image took on average in the refinement, seconds, and the peak memory of the run, GB."""
        total, images = _number(self.report.get("timing"), "total"), _number(self.report.get("counts"), "images")
        peak = _number(self.report, "peak_memory_mb")
        return total / images if total is not None and images else None, None if peak is None else peak / 1024


def _number(values: Any, key: str) -> float | None:
    """A finite number of a report, None for anything else: reports may be damaged, or of other versions."""
    found = values.get(key) if isinstance(values, Mapping) else None
    with suppress(OverflowError):  # JSON's integers have no end
        if isinstance(found, (int, float)) and math.isfinite(found):
            return float(found)
    return None


class _Missing:
    def __repr__(self) -> str:
        return "missing"


MISSING = _Missing()


def same(found: Any, wanted: Any) -> bool:
    """Whether a value of a configuration is the wanted one, whatever mixture of text and numbers the two are.

    >>> same(0.10, "0.1"), same(False, "false"), same("vit_b", ["vit_h", "vit_b"])
    (True, True, True)
    """
    if isinstance(wanted, (list, tuple)):
        return any(same(found, value) for value in wanted)
    if found is MISSING:
        return False
    a, b = as_text(found), as_text(wanted)
    try:
        return a == b or math.isclose(float(a), float(b))
    except ValueError:
        return False


def as_text(value: Any) -> str:
    """A scalar as it is written on the command line.

    >>> as_text(True), as_text(None), as_text(15.0)
    ('true', 'null', '15.0')
    """
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_run(path: Path) -> Run:
    """Reads a report.json.

    Raises:
        InputError: if it cannot be read, or lacks a field.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a report ({error}); run that job again with force=true") from error
    if not isinstance(report, dict) or not isinstance(report.get("metrics"), dict):
        raise InputError(f"{path} has no metrics, which every report has; run that job again with force=true")
    return Run(path, report, _finished(path, report))


def read_runs(paths: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """Reads reports, newest first; one that cannot be read costs only itself.

    Returns:
        The runs, and one sentence for each file that is none.
    """
    runs, problems = [], []
    for path in sorted(set(paths)):
        try:
            runs.append(read_run(path))
        except InputError as error:
            problems.append(str(error))
    return sorted(runs, key=lambda run: run.finished, reverse=True), problems


def find_reports(folders: Iterable[Path]) -> list[Path]:
    """Every `report.json` or `NAME.report.json` below the folders; a folder that is absent holds none."""
    return [path for folder in folders for path in sorted(folder.rglob("*report.json"))]


def _finished(path: Path, report: Mapping[str, Any]) -> float:
    try:
        # Python 3.10 does not read the Z of UTC.
        moment = datetime.datetime.fromisoformat(str(report["finished"]).replace("Z", "+00:00"))
    except (KeyError, ValueError):
        return path.stat().st_mtime
    return moment.timestamp()
