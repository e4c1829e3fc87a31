"""Every table of the paper beside what has been measured: *paper | ours | difference | command*."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from samref.config.shipped import shipped_folder
from samref.errors import ConfigError
from samref.io.atomic import write_text
from samref.report.comparison import Measured, compare, measured_on, without_row
from samref.report.plain import PlainTable, plain_csv, plain_markdown, plain_screen
from samref.report.published import PublishedTable, read_tables
from samref.report.render import as_csv, as_markdown, csv_header, on_screen
from samref.report.runs import Run, find_reports, read_runs

EXPERIMENTS = shipped_folder("experiments")
WIDTH = 100


def show_tables(outputs: Sequence[Path], experiments: Path, write: Path, console: Console | None = None) -> None:
    """Prints all tables and writes each as Markdown and CSV, and all of them as `tables.md` and `tables.csv`.

    Args:
        outputs: folders below which runs left their report.json.
        experiments: folder of the published tables; reports in `*/results/` of it count too.
        write: folder for the files.
        console: where to print; standard output by default.

    Raises:
        ConfigError: if there are no published tables, or their files do not fit together.
    """
    tables = read_tables(experiments)
    if not tables:
        raise ConfigError(
            f"{experiments} holds no folder with a table.yaml; give the project's folder by --experiments"
        )
    runs, problems = read_runs(find_reports([*outputs, *sorted(experiments.glob("*/results"))]))
    console = console or wide_console()
    markdown, lines, filled = [], [], 0
    for table in tables:
        rows, others = compare(table, runs), _others(table, without_row(table, runs))
        _print(table, rows, others, console)
        markdown.append("\n".join([as_markdown(table, rows), *([plain_markdown(others)] if others else [])]))
        lines.append(as_csv(table, rows, header=False) + (plain_csv(others, header=False) if others else ""))
        write_text(write / f"{table.name}.md", markdown[-1])
        write_text(write / f"{table.name}.csv", csv_header() + lines[-1])
        filled += others is not None or any(row.runs for row in rows)
    write_text(write / "tables.md", "\n".join(["# Tables\n", *markdown]))
    write_text(write / "tables.csv", csv_header() + "".join(lines))
    for problem in problems:
        console.print(f"left out: {problem}", style="yellow", markup=False, soft_wrap=True)
    files = f"{write}/tables.md, {write}/tables.csv"
    console.print(f"{len(runs)} reports; {filled} of {len(tables)} tables have measured rows; {files}", soft_wrap=True)


def wide_console() -> Console:
    """Standard output, at least as wide as the tables where it is no terminal and has no width of its own."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH)


def _others(table: PublishedTable, runs: Sequence[Run]) -> PlainTable | None:
    if not runs:
        return None
    settings = "; ".join(sorted({measured_on(run) for run in runs}))
    title = f"{table.experiment}, runs that the paper has no row for ({settings})"
    return PlainTable.of(table.name, title, runs, costs=table.costs)


def _print(table: PublishedTable, rows: Sequence[Measured], others: PlainTable | None, console: Console) -> None:
    screen, footnotes = on_screen(table, rows)
    console.print(table.title, style="bold", markup=False, soft_wrap=True)
    console.print(screen)
    # Commands are there to be copied: no line of them may be broken.
    for line in [f"data: {table.data}", *footnotes, *(f"note: {note}" for note in table.notes)]:
        console.print(line, markup=False, soft_wrap=True)
    if others:
        console.print(others.title, markup=False, soft_wrap=True)
        console.print(plain_screen(others))
    console.print()
