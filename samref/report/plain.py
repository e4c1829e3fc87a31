"""Runs side by side where the paper has no row for them: what differs between them, their metrics, their gain."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from samref.report.published import CHOICES
from samref.report.render import CSV_HEADER, label, markdown_row, number
from samref.report.runs import COARSE, COSTS, MISSING, REFINED, Run, as_text

# Keys of where, how fast or how often something ran; runs are not distinguished by them.
SILENT = ("paths", "name", "force", "logger", "trainer", "callbacks", "num_workers", "hydra", "save_masks")


@dataclass(frozen=True)
class PlainTable:
    """Runs without published numbers.

    Attributes:
        name: of the experiment.
        title: heading.
        keys: dotted config keys that differ between the runs.
        metrics: of any of the runs, in order.
        runs: the runs.
        costs: whether seconds an image and peak memory are shown.
    """

    name: str
    title: str
    keys: tuple[str, ...]
    metrics: tuple[str, ...]
    runs: tuple[Run, ...]
    costs: bool = False

    @classmethod
    def of(
        cls, name: str, title: str, runs: Sequence[Run], among: Sequence[Run] = (), costs: bool = False
    ) -> PlainTable:
        """The table of some runs, distinguished by what differs between all runs `among` which they are."""
        keys = differing_keys(among or runs)
        metrics = dict.fromkeys(metric for run in runs for metric in run.report["metrics"].get(run.part, {}))
        ranks = {key: _ranks(runs, key) for key in keys}
        ordered = sorted(runs, key=lambda run: [ranks[key][_shown(run, key)] for key in keys])
        return cls(name, title, keys, tuple(metrics), tuple(ordered), costs)

    def labels(self, run: Run) -> list[str]:
        """The values of the differing keys."""
        if not self.keys:
            return [REFINED]
        return ["" if (value := run.config(key)) is MISSING else as_text(value) for key in self.keys]

    def coarse(self, run: Run) -> list[float | None]:
        """Percent of the coarse masks, by metric."""
        return [run.value(metric, COARSE) for metric in self.metrics]

    def refined(self, run: Run) -> list[float | None]:
        """Percent of what the run is about, by metric: of the refined masks, or of the network trained on them."""
        return [run.value(metric, run.part) for metric in self.metrics]

    @property
    def same_coarse(self) -> bool:
        """Whether all runs started from coarse masks of one quality."""
        return len({tuple(self.coarse(run)) for run in self.runs}) == 1


def differing_keys(runs: Sequence[Run]) -> tuple[str, ...]:
    """The fewest config keys, chosen options first, that distinguish the runs.

    A key whose value follows from the keys before it (an option's own parameters) is left out.
    """
    leaves: dict[str, None] = {}
    for run in runs:
        leaves |= dict.fromkeys(_leaves(run.report.get("config", {})))
    keys: list[str] = []
    for key in sorted(leaves, key=lambda key: not key.startswith(CHOICES)):
        if key.split(".")[0] in SILENT:
            continue
        before = {tuple(_shown(run, known) for known in keys) for run in runs}
        after = {tuple(_shown(run, known) for known in [*keys, key]) for run in runs}
        if len(after) > len(before):
            keys.append(key)
    return tuple(keys) or tuple(key for key in (f"{CHOICES}dataset", f"{CHOICES}prompts") if key in leaves)


def plain_screen(table: PlainTable) -> Table:
    """The table for the screen: each metric with its gain over the coarse masks."""
    screen = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in _headings(table):
        screen.add_column(heading)
    for metric in table.metrics:
        screen.add_column(label(metric), justify="right", no_wrap=True)
        screen.add_column("gain", justify="right", no_wrap=True)
    for name in COSTS if table.costs else ():
        screen.add_column("\n".join(name.rsplit(" ", 1)), justify="right", no_wrap=True)
    for (labels, values, gains), costs in zip(_lines(table), _costs(table), strict=True):
        cells: list[str | Text] = list(labels)
        for value, gain in zip(values, gains, strict=True):
            color = "" if gain is None else "green" if gain >= 0 else "red"
            cells += [number(value), Text(number(gain, "+"), style=color)]
        screen.add_row(*cells, *costs)
    return screen


def plain_markdown(table: PlainTable) -> str:
    """The table as Markdown, with the command of each run."""
    head = _headings(table) + [cell for metric in table.metrics for cell in (label(metric), "gain")]
    head += [*(COSTS if table.costs else ()), "command"]
    numeric = 2 * len(table.metrics) + (len(COSTS) if table.costs else 0)
    lines = [head, ["---"] * len(_headings(table)) + ["---:"] * numeric + ["---"]]
    commands = [*([""] if table.same_coarse else []), *(run.command for run in table.runs)]
    for (labels, values, gains), costs, command in zip(_lines(table), _costs(table), commands, strict=True):
        numbers = [cell for pair in zip(values, gains, strict=True) for cell in (number(pair[0]), number(pair[1], "+"))]
        lines.append([*labels, *numbers, *costs, f"`{command}`" if command else ""])
    return "\n".join([f"## {table.title}", "", *(markdown_row(line) for line in lines)]) + "\n"


def plain_csv(table: PlainTable, header: bool = True) -> str:
    """The table in the columns of `samref.report.render.as_csv`; paper and difference stay empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(CSV_HEADER)
    for run in table.runs:
        where = " ".join(f"{key}={value}" for key, value in zip(_headings(table), table.labels(run), strict=True))
        for part, values in ((COARSE, table.coarse(run)), (run.part, table.refined(run))):
            for metric, value in zip(table.metrics, values, strict=True):
                if value is not None:
                    row = f"{where} masks={part}".strip()
                    line = [table.name, row, metric, "", round(value, 4), "", "", run.path.as_posix(), run.command]
                    writer.writerow(line)
    return text.getvalue()


def _lines(table: PlainTable) -> Iterator[tuple[list[str], list[float | None], list[float | None]]]:
    nothing: list[float | None] = [None] * len(table.metrics)
    if table.same_coarse:
        yield ["coarse", *[""] * (len(_headings(table)) - 1)], table.coarse(table.runs[0]), nothing
    for run in table.runs:
        pairs = zip(table.refined(run), table.coarse(run), strict=True)
        gains = [None if after is None or before is None else after - before for after, before in pairs]
        yield table.labels(run), table.refined(run), gains


def _costs(table: PlainTable) -> Iterator[list[str]]:
    """What stands beside each of `_lines`; nothing beside the coarse masks."""
    if table.same_coarse:
        yield [""] * (len(COSTS) if table.costs else 0)
    for run in table.runs:
        yield [number(cost) for cost in run.costs] if table.costs else []


def _headings(table: PlainTable) -> list[str]:
    return [key.removeprefix(CHOICES) for key in table.keys] or ["masks"]


def _leaves(node: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix


def _shown(run: Run, key: str) -> str:
    return as_text(run.config(key))


def _ranks(runs: Sequence[Run], key: str) -> dict[str, float]:
    """Places of a key's values: numbers by size, words in the order in which the sweep came to them."""
    values = list(dict.fromkeys(_shown(run, key) for run in sorted(runs, key=lambda run: run.finished)))
    try:
        return {value: float(value) for value in values}
    except ValueError:
        return {value: float(place) for place, value in enumerate(values)}
