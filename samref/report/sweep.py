"""The table at the end of a sweep: its rows of the paper's table, and every other run of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from samref.io.atomic import write_text
from samref.report.comparison import compare
from samref.report.plain import PlainTable, plain_csv, plain_markdown, plain_screen
from samref.report.published import read_tables
from samref.report.render import as_csv, as_markdown, on_screen
from samref.report.runs import COARSE, find_reports, read_runs
from samref.report.tables import EXPERIMENTS


@dataclass(frozen=True)
class SweepTable:
    """One sweep's results in three forms.

    Attributes:
        screen: for a rich console.
        markdown: the same as Markdown.
        csv: one line a number: table, row, metric, paper, ours, difference, measured_with, report, command.
    """

    screen: RenderableType
    markdown: str
    csv: str


def write_sweep_table(folder: Path, experiments: Path = EXPERIMENTS) -> RenderableType | None:
    """Gathers the reports below a sweep's folder into `table.md` and `table.csv` there.

    Args:
        folder: of the sweep; its reports may belong to one experiment only.
        experiments: folder of the published tables.

    Returns:
        The table for the screen; None where no report is finished.
    """
    reports = find_reports([folder])
    runs, _ = read_runs(reports)
    if not runs:
        return None
    table = sweep_table(runs[0].experiment, reports, experiments)
    write_text(folder / "table.md", table.markdown)
    write_text(folder / "table.csv", table.csv)
    return table.screen


def sweep_table(experiment: str, reports: Sequence[Path], experiments: Path = EXPERIMENTS) -> SweepTable:
    """*paper | ours | difference* of the rows a sweep has measured, then the runs the paper has no row for.

    Args:
        experiment: name of the experiment, as in its reports.
        reports: the sweep's report.json files.
        experiments: folder of the published tables; without one, all runs are shown as runs without a row.
    """
    runs, problems = read_runs(reports)
    runs = [run for run in runs if run.experiment == experiment]
    screens: list[RenderableType] = []
    texts: list[str] = []
    lines: list[str] = []
    shown: set[Path] = set()
    for table in read_tables(experiments):
        rows = [row for row in compare(table, runs) if row.runs] if table.experiment == experiment else []
        if rows:
            screen, footnotes = on_screen(table, rows)
            screens += [Text(table.title, style="bold"), screen, *(Text(line) for line in footnotes)]
            texts.append(as_markdown(table, rows))
            lines.append(as_csv(table, rows, header=not lines))
            shown |= {run.path for row in rows for run in row.runs if row.row.part != COARSE}
    others = [run for run in runs if run.path not in shown]
    if others:
        title = f"{experiment}: runs without a row in the paper" if screens else experiment
        plain = PlainTable.of(experiment, title, others, among=runs)
        screens += [Text(title, style="bold"), plain_screen(plain)]
        texts.append(plain_markdown(plain))
        lines.append(plain_csv(plain, header=not lines))
    screens += [Text(f"left out: {problem}", style="yellow") for problem in problems]
    return SweepTable(Group(*screens), "\n".join(texts), "".join(lines))
