"""Drawing figures with matplotlib (the extra `figures`); importing this raises where it is not installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from samref.errors import ConfigError
from samref.io.atomic import atomic_path, write_text
from samref.report.figures import Plotted, Point, as_csv, plot, read_figures, same_number
from samref.report.overview import Overview, read_overview
from samref.report.reliability import Reliability, read_reliability
from samref.report.render import label
from samref.report.runs import find_reports, read_runs

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas
except ImportError as error:
    raise ConfigError(
        "drawing figures needs matplotlib, which is not installed; install it with pip install 'samref[figures]'"
    ) from error

# Colors that stay apart for the color-blind (Okabe and Ito).
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
PANEL_WIDTH, BAR_PANEL_WIDTH, HEIGHT = 4.4, 7.0, 3.8
DPI = 300  # what journals require; the SVG beside it is drawn at any size


def show_figures(outputs: Sequence[Path], experiments: Path, write: Path, console: Console | None = None) -> None:
    """Draws every figure that has runs as NAME.png and NAME.svg, with its points as NAME.csv.

    Args:
        outputs: folders below which runs left their report.json.
        experiments: folder of the figures' declarations; reports in `*/results/` of it count too.
        write: folder for the files.
        console: where to print; standard output by default.

    Raises:
        ConfigError: if there are no figures, their files do not fit together.
    """
    figures = read_figures(experiments)
    if not figures:
        raise ConfigError(
            f"{experiments} holds no folder with a figure.yaml; give the project's folder by --experiments"
        )
    runs, problems = read_runs(find_reports([*outputs, *sorted(experiments.glob("*/results"))]))
    console = console or Console(highlight=False)
    for figure in figures:
        console.print(figure.title, style="bold", markup=False, soft_wrap=True)
        plotted = plot(figure, runs)
        if plotted is None:
            console.print(f"  no runs yet: {figure.command}\n  data: {figure.data}", markup=False, soft_wrap=True)
            continue
        paths = save(plotted, write / figure.name)
        write_text(write / f"{figure.name}.csv", as_csv(plotted))
        console.print(f"  {len(plotted.points)} points, {plotted.setting}: {paths[0]}", markup=False, soft_wrap=True)
    for path in sorted(experiments.glob("*/overview.yaml")):
        overview = read_overview(path, runs)
        console.print(overview.title, style="bold", markup=False, soft_wrap=True)
        paths = _write(draw_overview(overview), write / overview.name)
        console.print(f"  {len(overview.pairs)} benchmarks: {paths[0]}", markup=False, soft_wrap=True)
    for path in sorted(experiments.glob("*/reliability.yaml")):
        reliability = read_reliability(path, runs)
        if reliability.bins:
            console.print(reliability.title, style="bold", markup=False, soft_wrap=True)
            paths = _write(draw_reliability(reliability), write / reliability.name)
            console.print(f"  {reliability.runs} runs: {paths[0]}", markup=False, soft_wrap=True)
    for problem in problems:
        console.print(f"left out: {problem}", style="yellow", markup=False, soft_wrap=True)


def save(plotted: Plotted, stem: Path) -> tuple[Path, Path]:
    """Draws a figure.

    Args:
        plotted: what to draw.
        stem: path of the files without their ending.

    Returns:
        The paths of the PNG and the SVG.
    """
    return _write(draw(plotted), stem)


def _write(canvas: Canvas, stem: Path) -> tuple[Path, Path]:
    png, svg = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    for path in (png, svg):
        with atomic_path(path) as temporary:
            # Without a date the same points give the same file.
            canvas.savefig(temporary, dpi=DPI, metadata={"Date": None} if path == svg else None)
    return png, svg


def draw_overview(overview: Overview) -> Canvas:
    """The overview: for each benchmark an arrow from coarse to refined masks, the paper's above ours."""
    count = len(overview.pairs)
    canvas = Canvas(figsize=(8.0, 0.55 * count + 1.4), layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.subplots()
    for place, pair in enumerate(overview.pairs):
        for ends, height, color, who in (
            (pair.paper, -0.16, COLORS[0], "paper"),
            (pair.ours, 0.16, COLORS[1], "measured here (other model or data: make tables)"),
        ):
            before, after = ends
            if before is None or after is None:
                continue
            label = who if not any(who == text for text in axes.get_legend_handles_labels()[1]) else None
            axes.plot([before, after], [place + height] * 2, "-", color=color, linewidth=2)
            axes.plot([before], [place + height], "o", color=color, markerfacecolor="white", markersize=5)
            axes.plot([after], [place + height], "o", color=color, markersize=5, label=label)
            axes.annotate(
                f"{after - before:+.1f}",
                (max(before, after), place + height),
                (5, -3),
                textcoords="offset points",
                fontsize=7,
            )
    axes.set_yticks(range(count), [pair.name for pair in overview.pairs], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("%, coarse (open) to refined (filled)")
    axes.set_title(overview.title, fontsize=10)
    canvas.legend(loc="outside lower center", fontsize=8, ncols=2)
    return canvas


def draw_reliability(reliability: Reliability) -> Canvas:
    """The diagram: mean IoU over mean score, a perfect score's diagonal, and how many masks each range holds."""
    canvas = Canvas(figsize=(PANEL_WIDTH, PANEL_WIDTH + 1.2), layout="constrained")
    FigureCanvasAgg(canvas)
    axes, counts = canvas.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    bins = reliability.bins
    score, iou, masks = ([one[key] for one in bins] for key in ("score", "iou", "masks"))
    axes.plot([0, 1], [0, 1], "--", color="0.6", linewidth=1, label="score = IoU")
    axes.plot(score, iou, "o-", color=COLORS[0], markersize=4, label=f"masks (mean distance {reliability.error:.3f})")
    axes.set_ylabel("mean IoU")
    axes.legend(fontsize=8)
    counts.bar([one["from"] for one in bins], masks, width=0.09, align="edge", color=COLORS[5])
    counts.set_ylabel("masks")
    counts.set_xlabel("score")
    for panel in (axes, counts):
        panel.grid(alpha=0.3)
    canvas.suptitle(reliability.title, fontsize=9)
    return canvas


def draw(plotted: Plotted) -> Canvas:
    """The figure: one panel a metric, what was measured and the paper's points in it."""
    figure = plotted.figure
    panels = [metric for metric in figure.panels if any(metric in point.values for point in plotted.points)]
    width = BAR_PANEL_WIDTH if figure.kind == "bars" else PANEL_WIDTH
    canvas = Canvas(figsize=(width * len(panels), HEIGHT), layout="constrained")
    FigureCanvasAgg(canvas)
    panel = {"lines": _lines, "bars": _bars, "map": _map}[figure.kind]
    for axes, metric in zip(np.atleast_1d(canvas.subplots(1, len(panels))), panels, strict=True):
        panel(axes, plotted, metric)
        beside = [f"{name}: {values[metric]:.1f}" for name, values in plotted.baseline.items() if metric in values]
        axes.set_title("\n".join([label(metric), *beside]), fontsize=10)
        axes.set_xlabel(_short(figure.x))
    entries = dict(zip(*reversed(canvas.axes[0].get_legend_handles_labels()), strict=True))
    if entries:
        columns = min(len(entries), max(2, 2 * len(panels)))
        canvas.legend(entries.values(), entries.keys(), loc="outside lower center", fontsize=8, ncols=columns)
    canvas.suptitle(f"{figure.title}\n{plotted.setting}", fontsize=10)
    return canvas


def _lines(axes: Any, plotted: Plotted, metric: str) -> None:
    ticks = plotted.order("x")
    for k, series in enumerate(plotted.labels):
        ours = _at(plotted.points, series, metric, ticks)
        paper = _at(plotted.figure.paper, series, metric, ticks)
        if not (ours or paper):
            continue
        axes.plot(*_pairs(ours), "o-", color=_color(k), markersize=4, label=series or "measured")
        axes.plot(*_pairs(paper), "*", color=_color(k), markersize=11, markerfacecolor="none", label="paper")
    _coarse(axes, plotted, metric)
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_ylabel("%")
    axes.grid(alpha=0.3)


def _bars(axes: Any, plotted: Plotted, metric: str) -> None:
    ticks = plotted.order("x")
    found = {
        series: (_at(plotted.points, series, metric, ticks), _at(plotted.figure.paper, series, metric, ticks))
        for series in plotted.labels
    }
    # A series without a bar anywhere would only make the others thin.
    drawn = [series for series, (ours, paper) in found.items() if ours or paper]
    width = 0.8 / max(len(drawn), 1)
    for k, series in enumerate(drawn):
        color, offset = _color(plotted.labels.index(series)), (k - (len(drawn) - 1) / 2) * width
        ours, paper = found[series]
        if ours:
            places, values = _pairs(ours)
            axes.bar([place + offset for place in places], values, width, color=color, label=series or "measured")
        places, values = _pairs(paper)
        if ours and places:
            axes.plot([place + offset for place in places], values, "k*", markersize=6, label="paper")
        elif places:
            # Not measured here: stars of its own color, so that its name in the legend stands for something.
            label = f"{series}, paper only"
            axes.plot([place + offset for place in places], values, "*", color=color, markersize=8, label=label)
    _coarse(axes, plotted, metric)
    axes.set_xticks(range(len(ticks)), [tick.replace("_", "\n") for tick in ticks])
    axes.set_ylabel("%")
    axes.grid(axis="y", alpha=0.3)


def _map(axes: Any, plotted: Plotted, metric: str) -> None:
    columns, rows = plotted.order("x"), plotted.order("y")
    grid = np.full((len(rows), len(columns)), np.nan)
    for point in plotted.points:
        grid[_index(rows, point.y), _index(columns, point.x)] = point.values.get(metric, np.nan)
    image = axes.imshow(grid, origin="lower", cmap="viridis", aspect="auto")
    middle = (np.nanmin(grid) + np.nanmax(grid)) / 2
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            color = "black" if value > middle else "white"
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=color, fontsize=8)
    for point in plotted.figure.paper:
        if metric in point.values:
            place = (_index(columns, point.x), _index(rows, point.y) + 0.3)
            axes.annotate(f"paper {point.values[metric]:.1f}", place, ha="center", fontsize=7, color="red")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylabel(_short(plotted.figure.y))
    axes.figure.colorbar(image, ax=axes, shrink=0.8)


def _coarse(axes: Any, plotted: Plotted, metric: str) -> None:
    if metric in plotted.coarse:
        axes.axhline(plotted.coarse[metric], color="gray", linestyle="--", linewidth=1, label="coarse masks")


def _at(points: Sequence[Point], series: str, metric: str, ticks: Sequence[str]) -> dict[int, float]:
    """Place on the axis -> value, in the axis's order."""
    found = {
        _index(ticks, point.x): point.values[metric]
        for point in points
        if point.series == series and metric in point.values
    }
    return dict(sorted(found.items()))


def _pairs(found: dict[int, float]) -> tuple[list[int], list[float]]:
    return list(found), list(found.values())


def _index(ticks: Sequence[str], value: str) -> int:
    return next(place for place, tick in enumerate(ticks) if same_number(tick, value))


def _color(series: int) -> str:
    return COLORS[series % len(COLORS)]


def _short(key: str) -> str:
    return key.rsplit(".", 1)[-1]
