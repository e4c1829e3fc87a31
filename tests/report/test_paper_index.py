"""docs/paper.md: every item of the paper is in it, commands compose, files exist, numbers are the paper's."""

import csv
import importlib
import re
import shlex
from functools import lru_cache
from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from markdown.extensions.toc import slugify

from samref.cli.main import COMMANDS
from samref.config.compose import compose_config
from samref.report.published import read_tables
from samref.report.tables import EXPERIMENTS

ROOT = Path(__file__).resolve().parents[2]
# The tables as they are printed, transcribed apart from the files that are tested.
PRINTED = Path(__file__).with_name("transcription")
COLUMNS = ("item", "command", "config", "code", "state")
STATES = ("measured", "ready", "outside", "documented")
TABLES = ("1", "2a", "2b", "2c", "3", "4", "5", "6a", "6b", "7", "8", "9a", "9b", "10", "11")
FIGURES = ("1a", "1b", "2", "3a", "3b", "4", "6", "7a", "7b", "8", "9a", "9b", *map(str, range(10, 17)))
EVERYTHING = [
    *(f"Table {number}" for number in TABLES),
    *(f"Fig. {number}" for number in FIGURES),
    *("Figs. 5a to 5c", "Figs. 17 to 19", "Eq. 1", "Eq. 2", "Eq. 3", "Eq. 4", "Algorithm 1"),
]


def rows():
    lines = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [dict(zip(COLUMNS, row, strict=True)) for row in cells if row[0] != "item" and not row[0].startswith("---")]


ROWS = rows()


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def quoted_commands(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    return [command for command in quoted(text) if command.startswith("python run.py ")]


COMMAND_LINES = sorted({command for row in ROWS for command in quoted(row["command"])})


@lru_cache(maxsize=1)
def experiments():
    return {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}


def test_every_item_of_the_paper_is_there_and_no_line_is_left_open():
    items = [row["item"] for row in ROWS]
    assert len(set(items)) == len(items)
    for wanted in EVERYTHING:
        assert any(re.match(rf"{re.escape(wanted)}\b", item) for item in items), wanted
    for row in ROWS:
        assert row["state"].startswith(STATES), row
        assert row["command"] or row["state"].startswith(("outside", "documented", "measured:")), row
        assert quoted(row["config"]) or quoted(row["code"]), row


def test_every_file_named_exists():
    named = {path for row in ROWS for path in [*quoted(row["config"]), *quoted(row["code"])]}
    named |= {path for row in ROWS for path in quoted(row["state"]) if "/" in path and "*" not in path}
    assert not sorted(path for path in named if not (ROOT / path).exists())


PAPERS = {f"experiments/{table.name}" for table in read_tables(EXPERIMENTS) if table.title.startswith("Table")}


def test_what_is_called_measured_has_results():
    for row in ROWS:
        folders = [ROOT / path for path in quoted(row["config"]) if path in PAPERS]
        if row["state"].startswith("measured") and folders:
            assert any(list((folder / "results").glob("*.json")) for folder in folders), row["item"]


def test_every_experiment_is_named_or_belongs_to_no_item():
    named = set(re.findall(r"experiment[=/](\w+)", (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")))
    assert named <= experiments()
    beyond = {"adaption_study", "coarse_kinds", "demo", "high_resolution", "lvis", "box_pictures", "prompt_pictures"}
    beyond |= {"folder_training"}
    assert experiments() - named <= beyond


@pytest.mark.parametrize("command", COMMAND_LINES)
def test_every_command_composes(command):
    words = shlex.split(command)
    if words[:2] == ["python", "run.py"]:
        own = [word for word in words[2:] if word != "-m"]
        (jobs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(own), None)
        assert compose_config(list(jobs[0])).name
    elif words[0] == "samref":
        module, _, function = COMMANDS[words[1]][0].partition(":")
        part = importlib.import_module(module)
        assert callable(getattr(part, function))
        if hasattr(part, "_parser"):
            part._parser().parse_intermixed_args(words[2:])
    else:
        assert words[:2] == ["python", "-m"]
        assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file()


def read(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def wide(name, keys, columns):
    """A printed table with a column for each of several rows, as one row each."""
    return [
        {**{key: row[key] for key in keys}, **labels, value: row[column]}
        for row in read(PRINTED / f"{name}.csv")
        for column, (labels, value) in columns.items()
        if row.get(column)
    ]


def printed(name):
    if name == "stm":
        sources = {"maskclip_miou": "MaskCLIP", "clip_es_miou": "CLIP-ES"}
        return wide(name, ["stm"], {column: ({"source": source}, "miou") for column, source in sources.items()})
    if name == "sota":
        methods = ("coarse", "dense_crf", "cascade_psp", "crm", "segrefiner", "samrefiner")
        found = wide(name, ["dataset", "source", "metric"], {m: ({"method": m}, "value") for m in methods})
        return [{**row, "source": row["source"].partition(" in ")[0]} for row in found]
    if name == "hq_sam":
        columns = {
            "davis585": ("DAVIS-585", "DAVIS-585"),
            "nb": ("COCO", "NB"),
            "pointwssis": ("COCO", "PointWSSIS"),
            "beco": ("PASCAL VOC", "BECO"),
            "clip_es": ("PASCAL VOC", "CLIP-ES"),
        }
        metrics = ("iou", "boundary_iou", "ap_mask", "ap_boundary", "miou")
        return wide(
            name,
            ["backbone"],
            {
                f"{prefix}_{metric}": ({"dataset": dataset, "source": source, "metric": metric}, "value")
                for prefix, (dataset, source) in columns.items()
                for metric in metrics
            },
        )
    return read(PRINTED / f"{name}.csv")


def as_set(table):
    return sorted(tuple(sorted((key, value) for key, value in row.items())) for row in table)


@pytest.mark.parametrize("path", sorted(PRINTED.glob("*.csv")), ids=lambda path: path.stem)
def test_every_published_number_is_as_it_was_transcribed(path):
    assert as_set(read(EXPERIMENTS / path.stem / "paper.csv")) == as_set(printed(path.stem))


def test_every_table_has_a_transcription():
    tables = {table.name for table in read_tables(EXPERIMENTS) if table.title.startswith("Table")}
    # Columns of a table whose numbers stand in another folder.
    tables -= {name for name in tables if not (EXPERIMENTS / name / "paper.csv").exists()}
    assert tables == {path.stem for path in PRINTED.glob("*.csv")}


def cells(name):
    return {tuple(row.values())[:2]: row for row in read(PRINTED / f"{name}.csv")}


def test_the_papers_points_of_figures_are_cells_of_its_tables():
    table1, table2b = cells("davis_ablation"), {row["box"]: row for row in read(PRINTED / "cebox.csv")}
    adaption = {"by predicted IoU": "none", "by predicted IoU, adapted": "iou_lora"}
    expected = {
        "selection": lambda row: table1[row["x"], adaption[row["series"]]],
        "rounds": lambda row: table1["all", "none"],
        "cascade": lambda row: table1["all" if "mined again" in row["series"] else "point_box", "none"],
        "gaussian_sensitivity": lambda row: table1["all", "none"],
        "lambda_sensitivity": lambda row: table2b["tight" if row["x"] == "0" else "cebox"],
    }
    for name, cell in expected.items():
        for row in read(EXPERIMENTS / name / "paper.csv"):
            numbers = {key: value for key, value in row.items() if key in cell(row)}
            assert numbers
            assert numbers == {key: cell(row)[key] for key in numbers}, (name, row)


def test_every_reading_says_what_we_took_how_to_take_the_other_and_what_it_changes():
    text = (ROOT / "docs" / "readings.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert len(sections) >= 15
    for section in sections:
        title = section.partition("\n")[0]
        assert "not measured yet" not in section, title
        for word in ("**The paper.**", "**Taken.**", "**The other reading.**", "**Measured.**"):
            assert word in section, (title, word)


READING_COMMANDS = sorted(set(quoted_commands("readings.md")))


@pytest.mark.parametrize("command", READING_COMMANDS)
def test_every_command_of_a_reading_composes(command):
    test_every_command_composes(command)


def test_every_reading_is_linked_from_the_rows_that_depend_on_it():
    text = (ROOT / "docs" / "readings.md").read_text(encoding="utf-8")
    anchors = {slugify(title, "-") for title in re.findall(r"^## (.*)$", text, re.MULTILINE)}
    linked = {anchor for row in ROWS for anchor in re.findall(r"\(readings\.md#([^)]*)\)", row["state"])}
    assert linked == anchors
    assert "docs/readings.md" in (ROOT / "conf" / "experiment" / "stm.yaml").read_text(encoding="utf-8")
