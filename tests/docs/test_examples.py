"""Programs in README and documentation run as they stand."""

import json
import re

import numpy as np
import pytest

from tests.processes import ROOT, forked

PARTS = (ROOT / "docs" / "how" / "parts.md").read_text(encoding="utf-8")
FIELDS = ("masks", "flags", "scores", "reasons", "predicted_iou", "chosen", "prompts")


def blocks(text, language):
    return [re.sub("(?m)^    ", "", block) if block.startswith("    ") else block
            for block in re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)]  # fmt: skip


def data():
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    masks = np.zeros((2, 48, 64), dtype=bool)
    masks[:, 10:30, 20:40] = True
    return {"image": image, "masks": masks}


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/guide/python.md"])
def test_refining_from_python(page):
    """The real weights are another test's business; here the words must be right."""
    code = next(block for block in blocks((ROOT / page).read_text(encoding="utf-8"), "python") if "refine(" in block)
    names = data()
    exec(code.replace("mobile_sam", "tiny"), names)
    assert names["result"].masks.shape == names["masks"].shape
    assert all(hasattr(names["result"], field) for field in FIELDS)


def test_options_from_python():
    (code,) = (block for block in blocks((ROOT / "docs/guide/python.md").read_text(), "python") if "preset=" in block)
    code = code.replace('"vit_h", device="cuda"', '"tiny", device="cpu"').replace("pretrained(", 'pretrained("tiny", ')
    names = {}
    exec("from samref import SAMRefiner\n" + code.replace('("tiny", "tiny",', '("tiny",'), names)


def test_a_run_from_python(tmp_path, monkeypatch):
    (code,) = (block for block in blocks((ROOT / "docs/guide/python.md").read_text(), "python") if "run(" in block)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code.replace('["dataset=scenes"', '["backbone=tiny", "logger=none", "dataset=scenes"'), names)
    assert 0 <= names["report"]["metrics"]["refined"]["iou"] <= 1


@pytest.mark.parametrize(("heading", "module", "config"), [
    ("A refiner", "closing", "refiner/closing.yaml"), ("A data set", "stripes", "dataset/stripes.yaml"),
])  # fmt: skip
def test_a_part_of_ones_own(tmp_path, heading, module, config):
    section = re.search(rf"^## {heading}\n(.*?)(?=^## )", PARTS, re.DOTALL | re.MULTILINE)[1]
    (code,), (yaml,), (command,) = (blocks(section, language) for language in ("python", "yaml", "bash"))
    place = tmp_path / "mine" / config
    place.parent.mkdir(parents=True)
    place.write_text(yaml)
    (tmp_path / f"{module}.py").write_text(code)
    words = command.removeprefix("PYTHONPATH=. python run.py ").split()
    done = forked(ROOT / "run.py", *words, "backbone=tiny", "callbacks.progress=false", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(next(tmp_path.rglob("report.json")).read_text())
    assert report["config"][heading.split()[1].replace("data", "dataset")]["_target_"].startswith(module)
    assert 0 < report["metrics"]["refined"]["iou"] <= 1


def test_a_point_strategy_of_ones_own():
    from samref.geometry.masks import crop_mask
    from samref.prompts.points import STRATEGIES, PointPrompt

    (code,) = (block for block in blocks(PARTS, "python") if "STRATEGIES[" in block)
    exec(code, {})
    try:
        mask = np.zeros((20, 30), bool)
        mask[4:9, 10:17] = True
        assert PointPrompt("centroid", negative=False).positive(crop_mask(mask)) == (13, 6)
    finally:
        del STRATEGIES["centroid"]
