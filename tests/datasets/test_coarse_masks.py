"""The list of makers of coarse masks: every one that a table names is there, and what hands it to a run composes."""

import csv
import re
import shlex

import pytest

from samref.cli.main import main
from samref.config.compose import compose_config
from samref.datasets.sources.coarse_masks import COARSE, REFINERS
from samref.report.tables import EXPERIMENTS


def column(table, name):
    with (EXPERIMENTS / table / "paper.csv").open() as file:
        return {row[name] for row in csv.DictReader(file)}


def test_every_source_of_a_table_is_listed():
    named = column("coco", "method") | column("voc", "method") | column("stm", "source")
    named |= column("sota", "source") - {"DAVIS-585", "37K masks"}
    named |= {name.partition("-RN")[0] for name in column("lvis", "model")}
    assert named == set(COARSE)
    others = {"SegFix", "CRM", "BPR", "SegRefiner"}
    assert set(REFINERS) == others
    assert others <= column("lvis", "method") | column("high_resolution", "method")


@pytest.mark.parametrize("name", [*COARSE, *REFINERS])
def test_what_hands_masks_to_a_run_composes(name):
    maker = (COARSE | REFINERS)[name]
    options, *_ = re.split(r", or ", maker.options)
    words = [word for word in shlex.split(re.sub(r"\(.*?\)", "", options)) if "=" in word]
    more = ["+experiment=coco"] if "row.method=" in maker.options and name in COARSE else []
    more += ["+experiment=sota"] if name in REFINERS else []
    assert compose_config([*more, *words]).dataset


def test_the_command_lists_them(capsys):
    assert main(["datasets", "makers"]) == 0
    text = capsys.readouterr().out
    for name, maker in (COARSE | REFINERS).items():
        assert f"  {name} (Table" in text
        assert f"https://{maker.repository}" in text
