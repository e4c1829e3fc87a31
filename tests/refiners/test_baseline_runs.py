"""Baselines through `runner.run`, as a user runs them, on generated data with a tiny random model."""

import csv
import sys
import warnings
from pathlib import Path

import pytest
import torch

from samref.config.compose import compose_config
from samref.engine import runner
from samref.engine.inputs import named_files
from samref.errors import ConfigError, InputError
from samref.refiners.segrefiner.unet import DenoisingUNet
from tests.factories import make_davis, make_davis585
from tests.factories_benchmarks import make_big, make_coco, make_voc

GRID = ["refiner.points_per_side=3", "refiner.pred_iou_thresh=0", "refiner.stability_score_thresh=0"]
REFINERS = {
    "grid_max_iou": ["refiner=grid_max_iou", *GRID, "refiner.box_nms_thresh=1"],
    "grid_merge": ["refiner=grid_merge", *GRID, "refiner.box_nms_thresh=1", "refiner.rule.inside=0.1"],
}
if sys.version_info < (3, 13):  # see test_dense_crf.py
    REFINERS["dense_crf"] = ["refiner=dense_crf"]


def davis585(root):
    return [f"dataset.root={make_davis585(root, sequences=1, frames=2, objects=2)}"]


def davis(root):
    return [f"dataset.root={make_davis(root, frames=2)}"]


def coco(root):
    made = make_coco(root)
    return [f"dataset.root={root}", f"dataset.predictions={made.predictions}"]


def voc(root):
    return [f"dataset.root={make_voc(root).root}", f"dataset.coarse={root / 'coarse'}"]


def big(root):
    make_big(root)
    return [f"dataset.root={root}"]


def scenes(root):
    return ["dataset.length=2", "dataset.size=[64,80]"]


DATASETS = {make.__name__: make for make in (davis585, davis, coco, voc, big, scenes)}
# Metrics of prompts and candidates, which other refiners do not have.
OF_PROMPTS = {"top1_acc", "ap_prompt_box"}


@pytest.fixture
def run(tmp_path):
    made = {}

    def go(dataset, *overrides):
        if dataset not in made:
            made[dataset] = [f"dataset={dataset}", *DATASETS[dataset](tmp_path / dataset)]
        quiet = ["callbacks.progress=false", "callbacks.picture=0", "logger=none", f"paths.outputs={tmp_path / 'out'}"]
        return runner.run(compose_config([*made[dataset], "backbone=tiny", *quiet, *overrides]))

    return go


def test_a_mode_follows_the_kind_of_masks(run, tmp_path):
    torch.manual_seed(0)
    state = {f"denoise_model.{key}": value for key, value in DenoisingUNet(32).state_dict().items()}
    torch.save(state, tmp_path / "any.pth")
    options = ["refiner=segrefiner", f"refiner.weights={tmp_path / 'any.pth'}", "refiner.size=32", "+refiner.width=32"]
    modes = {dataset: run(dataset, *options, "refiner.min_area=1") for dataset in ("davis585", "voc", "big")}
    assert {name: report["config"]["refiner"]["mode"] for name, report in modes.items()} == {
        "davis585": "instance",
        "voc": "semantic",
        "big": "semantic",
    }
    for report in modes.values():
        assert report["timing"]["decode"] > 0
        assert "backbone" not in report["config"]["hydra_choices"]


@pytest.mark.parametrize("name", ["segrefiner", "crm", "bpr", "segfix"])
def test_a_run_is_known_by_the_content_of_its_weights(name):
    config = {"refiner": {"_target_": compose_config([f"refiner={name}"]).refiner._target_, "weights": "some/file"}}
    assert list(named_files(config)) == [("refiner.weights", Path("some/file"))]


@pytest.mark.parametrize("refiner", REFINERS)
@pytest.mark.parametrize("dataset", ["davis585", "coco", "voc", "big"])
def test_a_baseline_is_scored_by_the_data_sets_protocol(run, dataset, refiner):
    if "refiner=dense_crf" in REFINERS[refiner]:
        pytest.importorskip("pydensecrf")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*compute.*before.*update.*")
        report = run(dataset, *REFINERS[refiner], "save_masks=true")
    reference = run(dataset, f"regions={report['config']['regions']}")
    whole = "categories" if refiner == "dense_crf" else "regions"
    assert report["input"] == (whole if dataset == "voc" else "masks")
    scores = report["metrics"]
    assert scores["coarse"] == reference["metrics"]["coarse"]
    assert set(scores["refined"]) == set(reference["metrics"]["refined"]) - OF_PROMPTS
    assert all(0 <= value <= 1 for value in scores["refined"].values())
    assert report["counts"]["masks"] == reference["counts"]["masks"] > 0
    assert report["timing"]["decode"] > 0
    rows = list(csv.DictReader((Path(report["folder"]) / "samples.csv").read_text().splitlines()))
    assert {row["chosen"] for row in rows} == {"-1"}


@pytest.mark.parametrize("dataset", DATASETS)
def test_what_a_run_has_written_scores_the_same_as_external_masks(run, dataset):
    first = run(dataset, "refiner.selection=coarse", "save_masks=true")
    masks = Path(first["folder"]) / "masks"
    if dataset == "coco":
        (masks,) = masks.glob("*.json")
    again = run(dataset, "refiner=external", f"refiner.masks={masks}")
    expected = {key: value for key, value in first["metrics"]["refined"].items() if key not in OF_PROMPTS}
    assert again["metrics"]["refined"] == pytest.approx(expected, abs=1e-12)
    assert again["metrics"]["refined"] != again["metrics"]["coarse"]
    assert again["timing"]["total"] is None
    assert "backbone" not in again["config"]["hydra_choices"]


def test_a_missing_external_mask_ends_the_run_with_its_name(run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"seq0/init_sp_object1_00000\.png is missing"):
        run("davis585", "refiner=external", f"refiner.masks={tmp_path / 'empty'}")


def test_no_model_is_loaded_for_a_refiner_that_wants_none(run, tmp_path):
    (tmp_path / "coarse").mkdir()
    made = run("davis585", "save_masks=true")
    masks = Path(made["folder"]) / "masks"
    report = run("davis585", "refiner=external", f"refiner.masks={masks}", "backbone=vit_h", "backbone.weights=nowhere")
    assert report["counts"]["masks"] == 4


def test_an_adaptor_is_not_trained_for_a_baseline(run):
    with pytest.raises(ConfigError, match="it needs refiner=samrefiner"):
        run("davis585", *REFINERS["grid_merge"], "adaption=iou_lora")


def test_an_option_of_another_refiner_is_named(run):
    with pytest.raises(ConfigError, match="iterations"):
        run("davis585", *REFINERS["grid_merge"], "+refiner.iterations=2")
