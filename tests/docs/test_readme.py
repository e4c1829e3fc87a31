"""The README stays short and shows what matters; its commands are checked with those of the other pages."""

import json
import re
from pathlib import Path

import yaml

import samref
from samref.datasets.coarse_kinds import KINDS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_fits_on_a_few_screens():
    assert len(README.splitlines()) < 150


def test_it_starts_with_what_a_newcomer_needs():
    places = [README.index(word) for word in ("![", "pip install samref", "samref refine IMAGES MASKS OUTPUT",
                                              "from samref import SAMRefiner", "## Which setting")]  # fmt: skip
    assert places == sorted(places)


def test_every_linked_file_exists():
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", README)
    assert links and all((ROOT / link).exists() for link in links if "://" not in link)
    # PyPI shows the README without the repository around it.
    assert all(link.startswith("https://") for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README))


def test_measured_results_are_those_of_the_reports():
    folder = ROOT / "experiments" / "davis_ablation" / "results"
    for name in ("all-none", "all-iou_lora"):
        metrics = json.loads((folder / f"{name}-mobile_sam.report.json").read_text())["metrics"]
        for part in ("coarse", "refined"):
            shown = " / ".join(f"{100 * metrics[part][key]:.1f}" for key in ("iou", "boundary_iou"))
            assert shown in README


def test_kinds_of_coarse_masks_are_those_of_the_reports():
    folder = ROOT / "experiments" / "coarse_kinds" / "results"
    rows = []
    for kind in KINDS:
        paper, default = (
            json.loads((folder / f"{kind}-{name}-mobile_sam-davis585_mini.report.json").read_text())["metrics"]
            for name in ("paper", "default")
        )
        harm = [found["refined"]["harm"] for found in (paper, default)]
        rows.append([paper["coarse"]["iou_mean"], *(m["refined"]["iou_mean"] for m in (paper, default)), *harm])
    rows.append([sum(column) / len(rows) for column in zip(*rows, strict=True)])
    for page in (README, (ROOT / "docs" / "guide" / "settings.md").read_text(encoding="utf-8")):
        start = page.index("| coarse masks |")
        shown = [line.split(" | ", 1)[1] for line in page[start:].split("\n\n")[0].splitlines()[2:]]
        assert shown == [" | ".join(f"{100 * value:.1f}" for value in row) + " |" for row in rows]


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == samref.__version__
    assert citation["preferred-citation"]["title"] in README.replace("\n", " ")
