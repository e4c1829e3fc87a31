"""Meets the rows of a published table with the runs that stand for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from samref.report.published import CHOICES, COUNTS, PublishedTable, Row
from samref.report.runs import COARSE, COSTS, MISSING, SECONDS, Run, as_text, same

CACHED = "time may lack the encoding (backbone.cache)"


@dataclass(frozen=True)
class Measured:
    """One row of a published table beside what was measured.

    Attributes:
        row: as published.
        runs: those that fill it; empty where there are none.
        missing: the command that does the runs it still needs; empty where it needs none.
        ours: number column -> measured value, in the paper's unit, None where not measured.
        measured_with: how the runs differ from what the paper measured with; empty where they do not.
    """

    row: Row
    runs: tuple[Run, ...]
    missing: str
    ours: dict[str, float | None]
    measured_with: str

    def difference(self, column: str) -> float | None:
        """Ours minus the paper's, in the paper's unit."""
        ours, paper = self.ours[column], self.row.paper[column]
        return None if ours is None or paper is None else ours - paper

    @property
    def costs(self) -> list[float | None]:
        """Means of what the runs cost, see `samref.report.runs.COSTS`; nothing for a row of coarse masks."""
        runs = self.runs if self.row.part != COARSE else ()
        return [_mean_of([run.costs[k] for run in runs]) for k in range(len(COSTS))]

    @property
    def command(self) -> str:
        """The commands that ran, or where a run is missing, those that would fill the row."""
        return "; ".join(dict.fromkeys(filter(None, [*(run.command for run in self.runs), self.missing])))


@dataclass(frozen=True)
class Ratio:
    """How many times another row's value a row's is, in the paper and measured.

    Attributes:
        name: `minutes, grid_merge : samrefiner`.
        paper: None where the paper lacks one of the two.
        ours: None where one of the two was not measured.
    """

    name: str
    paper: float | None
    ours: float | None

    @property
    def sentence(self) -> str:
        """`minutes, grid_merge : samrefiner = 5.0 (paper), 13.2 (ours)`."""
        known = [f"{value:.1f} ({who})" for value, who in ((self.paper, "paper"), (self.ours, "ours")) if value]
        return f"{self.name} = {', '.join(known)}"


def ratios(table: PublishedTable, rows: Sequence[Measured]) -> list[Ratio]:
    """The ratios that a table gives of its rows' times."""
    found = []
    for rule in table.ratios:
        by_labels = {tuple(row.row.labels.items()): row for row in rows if rule.metric in row.row.metrics.values()}
        for labels, row in by_labels.items():
            base = by_labels.get(tuple({**dict(labels), **rule.per}.items()))
            if base is None or base is row:
                continue
            column = next(name for name, metric in row.row.metrics.items() if metric == rule.metric)
            name = (
                f"{rule.metric}, {' : '.join('/'.join(one.row.labels[key] for key in rule.per) for one in (row, base))}"
            )
            paper = _over(row.row.paper[column], base.row.paper[column])
            ours = _over(row.ours[column], base.ours[column])
            if paper is not None or ours is not None:
                found.append(Ratio(name, paper, ours))
    return found


def _over(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def compare(table: PublishedTable, runs: Sequence[Run]) -> list[Measured]:
    """Every row of a table with the newest run that stands for it.

    Args:
        table: a published table.
        runs: newest first.
    """
    candidates = [run for run in runs if run.experiment == table.experiment]
    return [_measure(table, row, candidates) for row in table.rows]


def without_row(table: PublishedTable, runs: Sequence[Run]) -> list[Run]:
    """The runs of a table's experiment that stand for none of its rows, each configuration once.

    Args:
        table: a published table.
        runs: newest first.
    """
    wanted = [conditions for row in table.rows if row.part != COARSE for conditions in row.runs]
    others = [run for run in runs if run.experiment == table.experiment]
    others = [run for run in others if not any(run.matches(conditions) for conditions in wanted)]
    newest = {json.dumps(run.report.get("config"), sort_keys=True, default=str): run for run in reversed(others)}
    return sorted(newest.values(), key=lambda run: run.finished, reverse=True)


def measured_on(run: Run) -> str:
    """Backbone, data and size of a run: `mobile_sam on data/mini, 128 images`."""
    backbone = run.config(f"{CHOICES}backbone")
    words = ["" if backbone is MISSING else as_text(backbone), data_of(run)]
    images = (run.report.get("counts") or {}).get("images")
    return ", ".join(filter(None, [" ".join(filter(None, words)), "" if images is None else f"{images} images"]))


def _measure(table: PublishedTable, row: Row, candidates: Sequence[Run]) -> Measured:
    newest = [next((run for run in candidates if run.matches(wanted)), None) for wanted in row.runs]
    found = [run for run in newest if run is not None]
    missing = [wanted for wanted, run in zip(row.runs, newest, strict=True) if run is None]
    return Measured(
        row=row,
        runs=tuple(found),
        missing=table.command_for(row, missing) if missing else "",
        ours={column: _mean(found, metric, row.part) for column, metric in row.metrics.items()},
        measured_with=_measured_with(row, found),
    )


def _mean(runs: Sequence[Run], metric: str, part: str) -> float | None:
    return _mean_of([run.value(metric, part) for run in runs])


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _measured_with(row: Row, runs: Sequence[Run]) -> str:
    if not runs:
        return ""
    notes = [_deviation(key, value, run) for run in runs for key, value in row.setting.items()]
    if any(
        key.startswith(COUNTS) and _deviation(key, value, run) for run in runs for key, value in row.setting.items()
    ):
        notes += [data_of(run) for run in runs]
    if len(runs) < len(row.runs):
        notes.append(f"{len(runs)} of {len(row.runs)} runs")
    if any(metric in SECONDS for metric in row.metrics.values()):
        hardware = [run.report.get("hardware") or {} for run in runs]
        notes += [str(parts.get("gpu") or parts.get("cpu") or "") for parts in hardware]
        notes += [CACHED for run in runs if _may_be_cached(run)]
    return ", ".join(dict.fromkeys(filter(None, notes)))


def _may_be_cached(run: Run) -> bool:
    """Whether a run's images may have been encoded by another one, so that its time lacks that."""
    used = run.config(f"{CHOICES}backbone") is not MISSING
    return used and not same(run.config("backbone.cache"), False)


def data_of(run: Run) -> str:
    """`on PLACE`, the place of a run's data, which distinguishes a subset from all of it; empty where it had none."""
    places = [run.config(f"dataset.{key}") for key in ("root", "annotations", "predictions", "masks")]
    place = next((place for place in places if place not in (MISSING, None)), None)
    return "" if place is None else f"on {place}"


def _deviation(key: str, expected: Any, run: Run) -> str:
    if key.startswith(COUNTS):
        name = key.removeprefix(COUNTS)
        found = (run.report.get("counts") or {}).get(name, MISSING)
        label = f"{found} {name}"
    else:
        found = run.config(key)
        label = as_text(found) if key.startswith(CHOICES) else f"{key.rsplit('.', 1)[-1]} {as_text(found)}"
    if found is MISSING or same(found, expected):
        return ""
    return f"{label} (paper: {as_text(expected[0] if isinstance(expected, list) else expected)})"
