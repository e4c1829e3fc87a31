"""The overview of Fig. 1b: coarse and refined masks on each benchmark, from the cells of the tables.

`experiments/overview/overview.yaml` has a `title` and `pairs`, each with `name`, `table`, `column`, and the
labels of the `coarse` and of the `refined` row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samref.errors import ConfigError
from samref.report.comparison import Measured, compare
from samref.report.published import read_spec, read_table
from samref.report.runs import Run, same

KEYS = {"name", "table", "column", "coarse", "refined"}


@dataclass(frozen=True)
class Pair:
    """One benchmark.

    Attributes:
        name: as the chart shows it.
        paper: coarse and refined, as published.
        ours: the same as measured, None where it was not.
        measured_with: how the runs differ from the paper's; empty where they do not.
    """

    name: str
    paper: tuple[float, float]
    ours: tuple[float | None, float | None]
    measured_with: str


@dataclass(frozen=True)
class Overview:
    """The chart."""

    name: str
    title: str
    pairs: tuple[Pair, ...]


def read_overview(path: Path, runs: Sequence[Run]) -> Overview:
    """The published and the measured numbers of an overview.

    Args:
        path: of an overview.yaml, in a folder of `experiments/`.
        runs: newest first.

    Raises:
        ConfigError: if it names a table, row or column that is not there.
    """
    spec = read_spec(path, ("title", "pairs"), ())
    for pair in spec["pairs"]:
        if set(pair) != KEYS:
            raise ConfigError(f"{path} has a pair with {', '.join(pair)}; expected {', '.join(sorted(KEYS))}")
    tables = {name: compare(read_table(path.parents[1] / name), runs) for name in {p["table"] for p in spec["pairs"]}}
    return Overview(
        path.parent.name, spec["title"], tuple(_pair(pair, tables[pair["table"]]) for pair in spec["pairs"])
    )


def _pair(pair: dict[str, Any], rows: list[Measured]) -> Pair:
    coarse, refined = (_row(pair, part, rows) for part in ("coarse", "refined"))
    column = pair["column"]
    paper = coarse.row.paper.get(column), refined.row.paper.get(column)
    if paper[0] is None or paper[1] is None:
        raise ConfigError(f"{pair['table']} has no number in the column '{column}' for '{pair['name']}'")
    return Pair(
        pair["name"],
        (paper[0], paper[1]),
        (coarse.ours[column], refined.ours[column]),
        refined.measured_with,
    )


def _row(pair: dict[str, Any], part: str, rows: list[Measured]) -> Measured:
    wanted = pair[part]
    for row in rows:
        if all(same(row.row.labels.get(key, ""), value) for key, value in wanted.items()):
            return row
    raise ConfigError(f"{pair['table']} has no row with {wanted}, which the overview shows as '{pair['name']}'")
