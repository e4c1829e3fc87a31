import csv
import shlex
from statistics import fmean

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from samref.errors import ConfigError
from samref.report.comparison import compare
from samref.report.published import CHOICES, read_table, read_tables
from samref.report.runs import Run
from samref.report.tables import EXPERIMENTS
from tests.report.conftest import nested

TABLES = read_tables(EXPERIMENTS)
ROWS = [pytest.param(table, row, id=f"{table.name}-{k}") for table in TABLES for k, row in enumerate(table.rows)]


def test_all_tables_of_the_paper_are_there_in_order():
    numbers = [table.title.split(".")[0].removeprefix("Table ") for table in TABLES]
    # Of the third and the fourth, the masks themselves and then the networks trained on them.
    assert numbers[:14] == ["1", "2a", "2b", "2c", "3", "3", "4", "4", "5", "6", "7", "8", "9", "10"]
    assert len(numbers) == 16
    for table in TABLES:
        # The folder is called as the configuration, or adds what it shows of it.
        assert f"{table.name}_".startswith(f"{table.experiment}_")
        readme = (EXPERIMENTS / table.name / "README.md").read_text()
        assert f"+experiment={table.experiment}" in readme
        assert "**Data.**" in readme


def run_for(table, conditions, metric_names, part):
    config = {key: wanted[0] if isinstance(wanted, list) else wanted for key, wanted in conditions.items()}
    metrics = {"coarse": {}, "refined": {}}
    metrics[part] = dict.fromkeys(metric_names, 0.5)
    report = {"experiment": table.experiment, "config": nested(config), "metrics": metrics, "timing": {"total": 60.0}}
    report |= {"counts": {"images": 10}, "peak_memory_mb": 2048.0}
    return Run(EXPERIMENTS / "x", report, 0.0)


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_the_run_of_a_row_fills_that_row(table, row):
    runs = [run_for(table, conditions, row.metrics.values(), row.part) for conditions in row.runs]
    measured = next(found for found in compare(table, runs) if found.row == row)
    assert len(measured.runs) == len(row.runs)
    assert row.runs
    assert not measured.missing
    assert None not in measured.ours.values() or row.part == "coarse"
    assert (None in measured.costs) == (row.part == "coarse")


@pytest.mark.parametrize(("table", "row"), [case for case in ROWS if case.values[1].runs])
def test_the_command_of_a_row_sets_its_conditions(table, row):
    words = shlex.split(table.command_for(row, row.runs))
    assert words[:2] == ["python", "run.py"]
    overrides = {item.key_or_group: item for item in OverridesParser.create().parse_overrides(words[2:])}
    assert overrides["experiment"].value() == table.experiment
    for key in row.runs[0]:
        override = overrides[key.removeprefix(CHOICES)]
        chosen = [str(v).lower() for v in override.sweep_iterator()] if override.is_sweep_override() else None
        chosen = chosen or [str(override.value()).lower()]
        wanted = [run[key][0] if isinstance(run[key], list) else run[key] for run in row.runs]
        assert chosen == list(dict.fromkeys(str(value).lower() for value in wanted))


def test_rows_of_one_refined_table_need_different_runs():
    for table in TABLES:
        chosen = [
            str((row.runs, tuple(row.metrics.values()))) for row in table.rows if row.part == "refined" and row.runs
        ]
        assert len(chosen) == len(set(chosen)), table.name


def published(name):
    with (EXPERIMENTS / name / "paper.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("source", ["NB", "PointWSSIS"])
@pytest.mark.parametrize(("method", "refined"), [("coarse", "false"), ("samrefiner", "true")])
def test_table_5_prints_the_means_of_table_3_as_its_note_says(source, method, refined):
    parts = [
        float(row["train5k_ap_mask"])
        for row in published("coco")
        if row["method"] == source and row["refined"] == refined
    ]
    (mean,) = [
        float(row["value"])
        for row in published("sota")
        if row["source"] == source and row["dataset"] == "COCO" and row["method"] == method
    ]
    assert round(fmean(parts), 1) == mean


GOOD = "title: t\nexperiment: e\ndata: d\ncommand: python run.py\nkeys: {a: b.a}\ncolumns: {iou: iou}\n"


@pytest.mark.parametrize(
    ("spec", "numbers", "complaint"),
    [
        (GOOD.replace("title: t\n", ""), "a,iou\nx,1\n", "lacks 'title'"),
        (GOOD + "colums: {}\n", "a,iou\nx,1\n", "unknown key 'colums'"),
        (GOOD, "b,iou\nx,1\n", "names the column 'a'"),
        (GOOD, "a,iou\nx,high\n", "text where a number"),
        (GOOD, "a,iou\n", "holds no rows"),
        (GOOD, "a,iou\nx,\n", "has no number"),
        (GOOD.replace("b.a", "{y: {}}"), "a,iou\nx,1\n", "does not define what 'x'"),
        ("title: [", "a,iou\nx,1\n", "cannot be read"),
        (GOOD, None, "cannot be read"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path, spec, numbers, complaint):
    (tmp_path / "table.yaml").write_text(spec)
    if numbers is not None:
        (tmp_path / "paper.csv").write_text(numbers)
    with pytest.raises(ConfigError, match=complaint):
        read_table(tmp_path)
