"""The plots of the paper: which runs make which points, and the points that the paper prints as numbers.

A figure is a folder of `experiments/` with two files. `paper.csv` has the columns `x`, `series` or `y` where the figure
has them, and one column a panel; a figure that the paper lacks has no such file. `figure.yaml` defines how runs become
points:

    title: Fig. 7b. ...
    experiment: cascade                # `experiment` of the reports that count
    data: what must lie on disk
    command: python run.py +experiment=cascade dataset.root=DIR
    kind: lines                        # lines | bars | map
    x: refiner.iterations              # config key of the abscissa
    y: prompts.mask.omega              # that of the ordinate of a map
    series:                            # label -> what its runs have in their configuration
      mined again: {refiner.cascade: masks}
    baseline: {original mask: {prompts.mask.form: coarse}}  # runs that stand for no point, named with their value
    each: hydra_choices.backbone       # or, in place of series: one series for each value of this key
    coarse: line                       # one line for all runs (default) | points: a series, each run having its own
    panels: [iou, boundary_iou]        # one plot a metric
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from samref.errors import ConfigError
from samref.report.comparison import data_of
from samref.report.published import CHOICES, read_csv, read_spec
from samref.report.runs import COARSE, MISSING, REFINED, Conditions, Run, as_text

REQUIRED = ("title", "experiment", "data", "command", "kind", "x", "panels")
OPTIONAL = ("y", "series", "each", "coarse", "baseline")
KINDS = ("lines", "bars", "map")
COARSE_FORMS = ("line", "points")
COARSE_SERIES = "coarse masks"
CSV_HEADER = ("figure", "series", "x", "y", "metric", "paper", "ours", "report")


@dataclass(frozen=True)
class Point:
    """A point of a figure, measured or printed in the paper.

    Attributes:
        series: label, empty where the figure has one series.
        x: abscissa as text.
        y: ordinate of a map as text, else empty.
        values: metric -> percent.
        report: of the run that measured it; empty for the paper's.
    """

    series: str
    x: str
    y: str
    values: dict[str, float]
    report: str = ""


@dataclass(frozen=True)
class Figure:
    """One figure, see the module's docstring."""

    name: str
    title: str
    experiment: str
    data: str
    command: str
    kind: str
    x: str
    y: str
    series: dict[str, Conditions]
    panels: tuple[str, ...]
    paper: tuple[Point, ...]
    coarse: str = "line"
    each: str = ""
    baseline: dict[str, Conditions] = field(default_factory=dict)


@dataclass(frozen=True)
class Plotted:
    """A figure with what was measured.

    Attributes:
        figure: what it shows.
        setting: what its runs have in common: backbone, data set, number of masks.
        points: measured ones.
        coarse: metric -> percent of the coarse masks.
        baseline: name -> metric -> percent of the runs that stand for no point.
    """

    figure: Figure
    setting: str
    points: tuple[Point, ...]
    coarse: dict[str, float]
    baseline: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """The series that are drawn, in order."""
        if self.figure.each:
            return tuple(dict.fromkeys(point.series for point in (*self.points, *self.figure.paper)))
        return (COARSE_SERIES, *self.figure.series) if self.figure.coarse == "points" else tuple(self.figure.series)

    def order(self, axis: str) -> list[str]:
        """The values of `x` or `y`: numbers by size, words in the paper's order and then in that of the runs."""
        values = list(dict.fromkeys(getattr(point, axis) for point in (*self.figure.paper, *self.points)))
        try:
            return sorted(values, key=float)
        except ValueError:
            return values


def read_figures(experiments: Path) -> list[Figure]:
    """The figures in the folders of `experiments`, by title: the paper's in its order, then others.

    Raises:
        ConfigError: if a figure's files do not fit together; the message names file and key.
    """
    return sorted((read_figure(path.parent) for path in experiments.glob("*/figure.yaml")), key=attrgetter("title"))


def read_figure(folder: Path) -> Figure:
    """Reads `figure.yaml` and `paper.csv` of one folder.

    Raises:
        ConfigError: as `read_figures`.
    """
    spec = read_spec(folder / "figure.yaml", REQUIRED, OPTIONAL)
    if spec["kind"] not in KINDS or (spec["kind"] == "map") != ("y" in spec):
        raise ConfigError(f"{folder / 'figure.yaml'} has kind '{spec['kind']}'; expected lines or bars, or map with y")
    coarse = spec.get("coarse", "line")
    if coarse not in COARSE_FORMS:
        raise ConfigError(f"{folder / 'figure.yaml'} has coarse '{coarse}'; expected {' or '.join(COARSE_FORMS)}")
    if "series" in spec and "each" in spec:
        raise ConfigError(f"{folder / 'figure.yaml'} has both series and each; expected one of them")
    series = spec.get("series") or {"": {}}
    printed = folder / "paper.csv"
    paper = tuple(_paper_point(line, spec, printed) for line in (read_csv(printed) if printed.exists() else ()))
    for point in paper:
        if point.series not in series and "each" not in spec:
            raise ConfigError(f"{folder / 'paper.csv'} has the series '{point.series}', which figure.yaml lacks")
    return Figure(
        name=folder.name,
        y=spec.get("y", ""),
        each=spec.get("each", ""),
        baseline=spec.get("baseline") or {},
        series=series,
        panels=tuple(spec["panels"]),
        paper=paper,
        coarse=coarse,
        **{key: str(spec[key]) for key in ("title", "experiment", "data", "command", "kind", "x")},
    )


def plot(figure: Figure, runs: Sequence[Run]) -> Plotted | None:
    """The points of a figure from the runs that share the setting of its newest one; None without runs.

    Args:
        figure: the figure.
        runs: newest first.
    """
    all_runs = [run for run in runs if run.experiment == figure.experiment]
    ours = [run for run in all_runs if _belongs(figure, run)]
    if not ours:
        return None
    setting = _setting(figure, ours[0])
    ours = [run for run in ours if _setting(figure, run) == setting]
    points: dict[tuple[str, str, str], Point] = {}
    for run in ours:
        where = as_text(run.config(figure.x)), as_text(run.config(figure.y)) if figure.y else ""
        found = [(label, REFINED) for label, conditions in figure.series.items() if run.matches(conditions)]
        if figure.each:
            found = [(as_text(run.config(figure.each)), REFINED)]
        if figure.coarse == "points":
            found.append((COARSE_SERIES, COARSE))
        for label, part in found:
            points.setdefault((label, *where), Point(label, *where, _values(figure, run, part), run.path.as_posix()))
    # Runs come newest first; a sweep came to its words in the other direction.
    line = _values(figure, ours[0], COARSE) if figure.coarse == "line" else {}
    beside = [run for run in all_runs if _setting(figure, run) == setting]
    baseline = {
        name: _values(figure, matching[0], REFINED)
        for name, conditions in figure.baseline.items()
        if (matching := [run for run in beside if run.matches(conditions)])
    }
    return Plotted(figure, setting, tuple(reversed(points.values())), line, baseline)


def as_csv(plotted: Plotted) -> str:
    """One line a number: the paper's and ours of each point."""
    paper = {(point.series, point.x, point.y): point for point in plotted.figure.paper}
    ours = {_place(point, plotted): point for point in plotted.points}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for place in dict.fromkeys([*paper, *ours]):
        for metric in plotted.figure.panels:
            numbers = [points[place].values.get(metric) if place in points else None for points in (paper, ours)]
            if numbers != [None, None]:
                cells = ["" if number is None else round(number, 4) for number in numbers]
                report = ours[place].report if place in ours else ""
                writer.writerow([plotted.figure.name, *place, metric, *cells, report])
    for name, values in plotted.baseline.items():
        for metric, value in values.items():
            writer.writerow([plotted.figure.name, name, "", "", metric, "", round(value, 4), ""])
    return text.getvalue()


def same_number(a: str, b: str) -> bool:
    """Whether two texts stand for one value.

    >>> same_number("0.10", "0.1"), same_number("15", "15.0"), same_number("box", "mask")
    (True, True, False)
    """
    try:
        return float(a) == float(b)
    except ValueError:
        return a == b


def _place(point: Point, plotted: Plotted) -> tuple[str, str, str]:
    """Where a measured point lies, in the paper's spelling where it has one."""
    for other in plotted.figure.paper:
        if other.series == point.series and same_number(other.x, point.x) and same_number(other.y, point.y):
            return other.series, other.x, other.y
    return point.series, point.x, point.y


def _belongs(figure: Figure, run: Run) -> bool:
    keys = [key for key in (figure.x, figure.y, figure.each) if key]
    matched = any(run.matches(conditions) for conditions in figure.series.values())
    return matched and all(run.config(key) is not MISSING for key in keys)


def _setting(figure: Figure, run: Run) -> str:
    backbone, dataset = (as_text(run.config(f"{CHOICES}{group}")) for group in ("backbone", "dataset"))
    words = [] if figure.each == f"{CHOICES}backbone" else [backbone]
    words.append(data_of(run) or f"on {dataset}")
    return f"{' '.join(words)}, {(run.report.get('counts') or {}).get('masks', '?')} masks"


def _values(figure: Figure, run: Run, part: str) -> dict[str, float]:
    found = {metric: run.value(metric, part) for metric in figure.panels}
    return {metric: value for metric, value in found.items() if value is not None}


def _paper_point(line: dict[str, str], spec: dict[str, Any], path: Path) -> Point:
    try:
        values = {metric: float(line[metric]) for metric in spec["panels"] if line[metric]}
        return Point(line.get("series") or "", line["x"], line["y"] if "y" in spec else "", values)
    except KeyError as error:
        raise ConfigError(f"{path} lacks the column {error}") from error
    except ValueError as error:
        raise ConfigError(f"{path} has text where a number should be: {error}") from error
