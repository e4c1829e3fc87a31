"""What a run prints when it ends: its metrics in percent, speed, and where the files are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from samref.report.runs import COARSE, REFINED, TRAINED

# Warnings on the screen; all are in report.json.
SHOWN = 10


def print_report(report: dict[str, Any], console: Console | None = None, brief: bool = False) -> None:
    """Prints one report.

    Args:
        report: content of a report.json, with `folder`.
        brief: one line in place of a table, for the jobs of a sweep.
        console: where to; standard output by default.
    """
    console = console or Console()
    if brief:
        console.print(f"      {brief_line(report)}", highlight=False, soft_wrap=True)
        return
    if TRAINED in report["metrics"]:
        console.print(training_lines(report), highlight=False, soft_wrap=True)
    elif report["metrics"]:
        console.print(metrics_table(report))
    counts, timing = report["counts"], report["timing"]
    totals = ", ".join(f"{value} {key}" for key, value in counts.items() if value or key in ("images", "masks"))
    rate = f", {timing['masks_per_second']:.1f} masks/s" if "masks_per_second" in timing else ""
    spent = "" if timing["total"] is None else f" in {timing['total']:.1f} s of {_work(report)}"
    console.print(f"{totals}{spent}{rate}", highlight=False)
    if report.get("taken_up") and not report.get("reused"):
        console.print(f"{report['taken_up']} images unchanged since an earlier run: not refined again", highlight=False)
    if report.get("left_over"):
        console.print(left_over_line(report["left_over"]), highlight=False, markup=False, soft_wrap=True)
    for warning in short(report.get("warnings", []), "more warnings in report.json"):
        console.print(f"  warning: {warning}", highlight=False, markup=False, soft_wrap=True)
    for failure in report["failures"]:
        console.print(f"  failed: {failure['image']}: {failure['reason']}", highlight=False, markup=False)
    for name, path in left_behind(report).items():
        console.print(f"{name}: {path}", highlight=False, markup=False, soft_wrap=True)
    again = "already finished (force=true runs it again): " if report.get("reused") else "report: "
    console.print(f"{again}{report['folder']}/report.json", highlight=False, soft_wrap=True)


def short(sentences: list[str], rest: str) -> list[str]:
    """The first sentences, and how many more there are.

    >>> short(["a", "b"], "more")
    ['a', 'b']
    """
    return sentences if len(sentences) <= SHOWN else [*sentences[:SHOWN], f"{len(sentences) - SHOWN} {rest}"]


def left_over_line(paths: list[str]) -> str:
    """What is printed of files that earlier runs wrote and that are of no input any more.

    >>> left_over_line(["out/a.png"])
    '1 file of an earlier run is no longer of any input: out/a.png (left_over in report.json)'
    """
    several = len(paths) > 1
    count, more = (f"{len(paths)} files", ", ...") if several else ("1 file", "")
    verb = "are" if several else "is"
    return f"{count} of an earlier run {verb} no longer of any input: {paths[0]}{more} (left_over in report.json)"


def left_behind(report: dict[str, Any]) -> dict[str, Path]:
    """Where the refined masks and the gallery of a run are, as far as there are any."""
    folder = Path(report["folder"])
    output = report["config"].get("dataset", {}).get("output")
    places = {"masks": Path(output) if output else folder / "masks", "gallery": folder / "gallery.html"}
    return {name: path for name, path in places.items() if path.exists()}


def brief_line(report: dict[str, Any]) -> str:
    """`iou 81.7 -> 88.3, ..., 146 masks in 14.2 s`, with a word where an earlier run's report was taken."""
    coarse = report["metrics"].get(COARSE, {})
    refined = report["metrics"].get(TRAINED) or report["metrics"].get(REFINED, {})
    parts = [
        f"{key} {100 * coarse[key]:.1f} -> {100 * value:.1f}" if key in coarse else f"{key} {100 * value:.1f}"
        for key, value in refined.items()
    ]
    total = report["timing"]["total"]
    spent = (
        ["finished earlier"] if report.get("reused") else [] if total is None else [f"{total:.1f} s of {_work(report)}"]
    )
    counts = report["counts"]
    size = f"{counts['masks']} masks" if "masks" in counts else f"{report['training']['masks']} masks"
    return ", ".join([*parts, size, *spent])


def training_lines(report: dict[str, Any]) -> str:
    """What a trained network scores, in percent, and where it is."""
    choices, training = report["config"].get("hydra_choices", {}), report["training"]
    scores = ", ".join(f"{key} {100 * value:.2f}" for key, value in report["metrics"][TRAINED].items())
    return (
        f"{choices.get('network')} on {training['masks']} masks, {training['steps']} steps: {scores}\n"
        f"network: {training['weights']}"
    )


def _work(report: dict[str, Any]) -> str:
    return "training" if TRAINED in report["metrics"] else "refinement"


def metrics_table(report: dict[str, Any]) -> Table:
    """Coarse and refined metrics side by side, in percent."""
    choices = report["config"].get("hydra_choices", {})
    title = " ".join(f"{choices[key]}" for key in ("dataset", "refiner", "prompts", "backbone") if key in choices)
    table = Table(title=title, title_justify="left")
    for heading in ("metric", "coarse", "refined", "change"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    coarse, refined = report["metrics"]["coarse"], report["metrics"]["refined"]
    for key, after in refined.items():
        before = coarse.get(key)
        change = "" if before is None else f"{100 * (after - before):+.2f}"
        table.add_row(key, "" if before is None else f"{100 * before:.2f}", f"{100 * after:.2f}", change)
    return table
