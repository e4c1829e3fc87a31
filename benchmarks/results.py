"""A benchmark's rows as a table on screen, and as markdown and json in a folder, with what they were measured on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from samref.engine import environment
from samref.io.atomic import write_text

FOLDER = Path(__file__).parent / "results"
Rows = Sequence[Mapping[str, Any]]


def publish(name: str, title: str, command: str, rows: Rows, folder: Path = FOLDER) -> None:
    """Prints rows and writes `NAME.md` and `NAME.json`.

    Args:
        name: of the files.
        title: what was measured, and what is not what it seems.
        command: that repeats the run.
        rows: one or more, all with the same keys.
        folder: made when needed.
    """
    table = Table(title=title)
    for heading in rows[0]:
        table.add_column(heading)
    for row in rows:
        table.add_row(*map(shown, row.values()))
    Console().print(table)
    machine = {"hardware": environment.hardware(), "versions": environment.versions(), "git": environment.git()}
    content = {"title": title, "command": command, **machine, "rows": [dict(row) for row in rows]}
    write_text(folder / f"{name}.json", json.dumps(content, indent=1) + "\n")
    write_text(folder / f"{name}.md", markdown(title, command, rows, machine["hardware"]))


def markdown(title: str, command: str, rows: Rows, hardware: Mapping[str, Any]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([shown(value) for value in row.values()] for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    device = hardware["gpu"] or f"{hardware['cpu']}, {hardware['cores']} cores"
    return f"{title}\n\nMeasured on {device} by `{command}`.\n\n{table}\n"


def shown(value: Any) -> str:
    """Three digits that count, and nothing for None."""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "" if value is None else str(value)
