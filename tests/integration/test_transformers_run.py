"""Table 1's grid, adaption included, with random tiny models in the format of `transformers` from a local folder."""

import pytest

from samref.config.compose import compose_config
from samref.engine import parts, runner
from tests.backbones.hf.models import saved_model
from tests.factories import make_davis585


@pytest.fixture(autouse=True)
def no_shared_backbone():
    parts.load_backbone.cache_clear()
    yield
    parts.load_backbone.cache_clear()


@pytest.mark.parametrize("option", ["sam2_hiera_t", "sam3"])
def test_a_saved_folder_runs_the_ablation(option, tmp_path, monkeypatch):
    monkeypatch.setenv("SAMREF_CACHE", str(tmp_path / "cache"))
    weights, _ = saved_model(option, tmp_path / "model")
    root = make_davis585(tmp_path / "davis585", sequences=2, frames=2)
    reports = {}
    words = ["+experiment=davis_ablation", f"dataset.root={root}", f"paths.outputs={tmp_path / 'out'}"]
    words += [f"backbone={option}", f"backbone.weights={weights}", "backbone.cache=true", "prompts=all"]
    words += ["callbacks.progress=false", "callbacks.gallery=0", "callbacks.picture=0", "logger=none"]
    for adaption in ("none", "iou_lora"):
        reports[adaption] = runner.run(compose_config([*words, f"adaption={adaption}"]))
    for report in reports.values():
        assert report["counts"]["images"] == 4
        assert report["counts"]["masks"] == 4
        assert 0 <= report["metrics"]["refined"]["iou"] <= 1
        assert report["config"]["backbone"]["weights"] == weights
    assert reports["none"]["metrics"]["coarse"] == reports["iou_lora"]["metrics"]["coarse"]
    assert reports["iou_lora"]["adaption"]["masks"] == 4
