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


@pytest.mark.parametrize(("option", "prompts_of"), [("sam2_hiera_t", ("mask", "all")), ("sam3", ("all",))])
def test_a_saved_folder_runs_the_ablation(option, prompts_of, tmp_path, monkeypatch):
    monkeypatch.setenv("SAMREF_CACHE", str(tmp_path / "cache"))
    weights, _ = saved_model(option, tmp_path / "model")
    root = make_davis585(tmp_path / "davis585", sequences=2, frames=2)
    reports = {}
    for adaption in ("none", "iou_lora"):
        for prompts in prompts_of:
            words = ["+experiment=davis_ablation", f"dataset.root={root}", f"paths.outputs={tmp_path / 'out'}"]
            words += [f"backbone={option}", f"backbone.weights={weights}", "callbacks.progress=false"]
            config = compose_config([*words, f"prompts={prompts}", f"adaption={adaption}", "backbone.cache=true"])
            reports[adaption, prompts] = runner.run(config)
    for report in reports.values():
        assert report["counts"]["images"] == 4
        assert report["counts"]["masks"] == 4
        assert 0 <= report["metrics"]["refined"]["iou"] <= 1
        assert report["config"]["backbone"]["weights"] == weights
    before, after = (reports[adaption, "all"]["metrics"]["refined"] for adaption in ("none", "iou_lora"))
    # The adaptor moves what is chosen among the same candidates, if anything.
    assert before.keys() == after.keys()
    assert reports["iou_lora", "all"]["adaption"]["masks"] == 4
