"""The README stays short and shows what matters; its commands are checked with those of the other pages."""

import json
import re
from pathlib import Path

import yaml

import samref

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


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == samref.__version__
    assert citation["preferred-citation"]["title"] in README.replace("\n", " ")
