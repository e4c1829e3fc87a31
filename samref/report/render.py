"""Comparisons as a table on screen, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from samref.report.comparison import Measured, ratios
from samref.report.published import PublishedTable
from samref.report.runs import COSTS

LABELS = {
    "harm": "made worse",
    "iou": "IoU",
    "iou_mean": "mean IoU",
    "boundary_iou": "boundary IoU",
    "top1_acc": "top-1",
    "ap_prompt_box": "AP prompt box",
    "ap_box": "AP box",
    "ap_mask": "AP mask",
    "ap_boundary": "AP boundary",
    "miou": "mIoU",
    "mba": "mBA",
}
CSV_HEADER = ("table", "row", "metric", "paper", "ours", "difference", "measured_with", "report", "command")


def label(name: str) -> str:
    """A metric or column as a heading."""
    for key in sorted(LABELS, key=len, reverse=True):
        if name == key or name.endswith(f"_{key}"):
            return f"{name.removesuffix(key).replace('_', ' ')}{LABELS[key]}"
    return name.replace("_", " ")


def on_screen(table: PublishedTable, rows: Sequence[Measured]) -> tuple[Table, list[str]]:
    """A table that fits 100 columns, and the footnotes its last column refers to.

    Returns:
        The table, and footnotes: first how the measured rows were measured, then the commands of the others, and the
        ratios of times.
    """
    screen = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in table.labels:
        screen.add_column(name.replace("_", " "), vertical="bottom")
    for column in table.columns:
        for word, kind in zip(_three_words(label(column)), ("paper", "ours", "diff"), strict=True):
            screen.add_column(f"{word}\n{kind}", justify="right", no_wrap=True, style="dim" if kind == "paper" else "")
    for name in COSTS if table.costs else ():
        screen.add_column("\n".join(name.rsplit(" ", 1)), justify="right", no_wrap=True)
    screen.add_column("", no_wrap=True)
    notes = _Footnotes()
    for measured in rows:
        cells: list[str | Text] = list(measured.row.labels.values())
        for column, paper in measured.row.paper.items():
            difference = measured.difference(column)
            color = "" if difference is None else "green" if difference >= 0 else "red"
            cells += [number(paper), number(measured.ours[column]), Text(number(difference, "+"), style=color)]
        cells += [number(cost) for cost in measured.costs] if table.costs else []
        marks = [notes.mark(f"measured with {measured.measured_with}")] if measured.measured_with else []
        marks += [notes.mark(measured.missing)] if measured.missing else []
        screen.add_row(*cells, " ".join(marks))
    return screen, notes.lines + [f"ratio: {ratio.sentence}" for ratio in ratios(table, rows)]


def as_markdown(table: PublishedTable, rows: Sequence[Measured]) -> str:
    """The table with its data, commands and notes as Markdown."""
    head = [name.replace("_", " ") for name in table.labels]
    for column in table.columns:
        head += [f"{label(column)}: paper", "ours", "difference"]
    costs = COSTS if table.costs else ()
    head += [*costs, "measured with", "command"]
    alignment = ["---"] * len(table.labels) + ["---:"] * (3 * len(table.columns) + len(costs)) + ["---", "---"]
    lines = [head, alignment]
    for measured in rows:
        cells = list(measured.row.labels.values())
        for column, paper in measured.row.paper.items():
            cells += [number(paper), number(measured.ours[column]), number(measured.difference(column), "+")]
        cells += [number(cost) for cost in measured.costs] if table.costs else []
        with_ = measured.measured_with or ("as the paper" if measured.runs else "")
        lines.append([*cells, with_, f"`{measured.command}`" if measured.command else ""])
    text = [
        f"## {table.title}",
        "",
        *(markdown_row(line) for line in lines),
        "",
        "Data: " + table.data.replace("<", "&lt;"),
    ]
    remarks = [*(f"Ratio: {ratio.sentence}." for ratio in ratios(table, rows)), *table.notes]
    text += ["", *(f"- {remark}" for remark in remarks)] if remarks else []
    return "\n".join(text) + "\n"


def as_csv(table: PublishedTable, rows: Sequence[Measured], header: bool = True) -> str:
    """One line a published or measured number; the columns are the same for all tables."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(CSV_HEADER)
    for measured in rows:
        row = " ".join(f"{key}={value}" for key, value in measured.row.labels.items())
        reports = "; ".join(run.path.as_posix() for run in measured.runs)
        for column, paper in measured.row.paper.items():
            ours, difference = measured.ours[column], measured.difference(column)
            if paper is None and ours is None:
                continue
            numbers = [paper, *(None if value is None else round(value, 4) for value in (ours, difference))]
            writer.writerow([table.name, row, column, *numbers, measured.measured_with, reports, measured.command])
        for name, cost in zip(COSTS, measured.costs, strict=True) if table.costs else ():
            if cost is not None:
                numbers = [None, round(cost, 4), None]
                writer.writerow([table.name, row, name, *numbers, measured.measured_with, reports, measured.command])
    return text.getvalue()


def csv_header() -> str:
    """The first line of the files that `as_csv` fills."""
    return ",".join(CSV_HEADER) + "\n"


def number(value: float | None, sign: str = "") -> str:
    """A value as the paper prints it, with one digit; small times keep two that count.

    >>> number(81.44), number(0.3, "+"), number(-0.04, "+"), number(0.0123), number(None)
    ('81.4', '+0.3', '-0.0', '0.012', '')
    """
    if value is None:
        return ""
    return f"{value:.2g}" if not sign and 0 < value < 0.1 else f"{value:{sign}.1f}"


def markdown_row(cells: Sequence[str]) -> str:
    """One line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


class _Footnotes:
    """Numbers texts in the order in which they come up, equal texts once."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}

    def mark(self, text: str) -> str:
        return f"[{self._texts.setdefault(text, len(self._texts) + 1)}]"

    @property
    def lines(self) -> list[str]:
        return [f"[{index}] {text}" for text, index in self._texts.items()]


def _three_words(text: str) -> tuple[str, str, str]:
    # A long heading is spread over its three narrow columns.
    words = text.split()
    words = [" ".join(words[:-2]), *words[-2:]] if len(words) > 3 else words + [""] * (3 - len(words))
    return words[0], words[1], words[2]
