"""`runner.run` from composed configurations, on generated data with a tiny random model."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from samref.config.compose import compose_config
from samref.engine import runner
from samref.errors import ConfigError, DatasetError, InputError
from tests.factories import make_davis585


@pytest.fixture
def davis(tmp_path):
    return make_davis585(tmp_path / "davis585", sequences=2, frames=2, objects=2)


@pytest.fixture
def run(tmp_path, davis):
    def go(*overrides, **kwargs):
        base = ["dataset=davis585", f"dataset.root={davis}", "backbone=tiny", f"paths.outputs={tmp_path / 'out'}"]
        return runner.run(compose_config([*base, "callbacks.progress=false", *overrides]), **kwargs)

    return go


def test_a_run_leaves_the_promised_report(run, tmp_path):
    report = run("save_masks=true", command="python run.py ...")
    on_disk = json.loads(next((tmp_path / "out").glob("evaluate/*/report.json")).read_text())
    assert on_disk == {key: value for key, value in report.items() if key != "folder"}
    promised = {
        "experiment", "command", "config", "metrics", "counts", "timing", "peak_memory_mb", "hardware", "versions",
        "git", "seed", "started", "finished",
    }  # fmt: skip
    assert promised <= set(report)
    assert set(report["metrics"]["refined"]) == {"iou", "iou_mean", "boundary_iou", "harm", "top1_acc"}
    assert report["counts"]["images"] == 4
    assert report["counts"]["masks"] == 8
    assert {"encode", "excavate", "decode", "postprocess", "total"} <= set(report["timing"])
    assert report["config"]["prompts"]["mask"]["omega"] == 15
    assert report["config"]["hydra_choices"]["prompts"] == "all"


def test_metrics_are_those_of_the_masks_it_saved(run, davis):
    from PIL import Image

    report = run("save_masks=true", "save_candidates=true")
    rows = list(csv.DictReader((Path(report["folder"]) / "samples.csv").read_text().splitlines()))
    intersection = union = hits = 0
    for row in rows:
        sequence, stem = row["image"].split("/")
        truth = np.array(Image.open(davis / sequence / f"{row['object']}_{stem}.png")) > 127
        name = f"init_sp_{row['object']}_{stem}.png"
        refined = np.array(Image.open(f"{report['folder']}/masks/{sequence}/{name}")) > 127
        intersection += (refined & truth).sum()
        union += (refined | truth).sum()
        assert float(row["refined_iou"]) == pytest.approx((refined & truth).sum() / (refined | truth).sum(), abs=1e-12)
        folder = f"{report['folder']}/candidates/{sequence}/{stem}"
        ious = []
        for k in range(3):
            candidate = np.array(Image.open(f"{folder}/{row['object']}_{k}.png")) > 127
            ious.append((candidate & truth).sum() / (candidate | truth).sum())
        assert float(row[f"candidate_iou_{k}"]) == pytest.approx(ious[k], abs=1e-12)
        predicted = [float(row[f"predicted_iou_{k}"]) for k in range(3)]
        hits += int(np.argmax(predicted) == np.argmax(ious))
        if row["flag"] == "refined":
            chosen = np.array(Image.open(f"{folder}/{row['object']}_{row['chosen']}.png")) > 127
            assert (chosen == refined).all()
    assert report["metrics"]["refined"]["iou"] == pytest.approx(intersection / union, abs=1e-12)
    assert report["metrics"]["refined"]["top1_acc"] == pytest.approx(hits / len(rows), abs=1e-12)


def test_a_finished_job_is_not_run_again_unless_forced(run):
    first = run()
    again = run()
    assert again["reused"]
    assert again["finished"] == first["finished"]
    assert "reused" not in run("force=true")
    assert "reused" not in run("prompts=box")


def test_an_unfinished_job_is_run(run, tmp_path):
    report = run()
    path = next((tmp_path / "out").glob("evaluate/*/report.json"))
    path.write_text(path.read_text()[:100])
    assert run()["metrics"] == report["metrics"]


@pytest.mark.xdist_group("workers")
def test_results_do_not_depend_on_chunks_workers_or_repetition(run):
    first = run()["metrics"]
    assert run("refiner.chunk_size=1", "force=true")["metrics"] == first
    assert run("num_workers=1", "force=true")["metrics"] == first
    assert run("force=true")["metrics"] == first


def test_oracle_selection_is_never_below_another(run):
    scores = {rule: run(f"refiner.selection={rule}")["metrics"]["refined"]["iou_mean"] for rule in
              ("predicted", "single", "coarse", "oracle")}  # fmt: skip
    assert max(scores["predicted"], scores["coarse"]) <= scores["oracle"]


def test_bad_files_are_skipped_and_named_or_end_the_run(run, davis):
    (davis / "seq0" / "00000.jpg").write_bytes(b"not a jpeg")
    with pytest.raises(InputError, match=r"00000\.jpg"):
        run()
    report = run("on_error=skip")
    assert report["counts"]["failed"] == 1
    assert report["counts"]["images"] == 3
    assert report["failures"][0]["image"] == "seq0/00000"


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("dataset.root=nowhere", DatasetError, "dataset.root=nowhere is not a folder"),
        ("dataset.root=null", DatasetError, "needs dataset.root=DIR"),
        ("refiner.selection=best", ConfigError, "'best'; expected one of predicted, single, coarse, oracle"),
        ("prompts.point.strategy=middle", ConfigError, "'middle'; expected one of"),
        ("prompts.mask.form=square", ConfigError, "'square'; expected one of"),
        ("limit=0", ConfigError, "limit is 0; expected at least 1"),
        ("on_error=ignore", ConfigError, "expected raise or skip"),
    ],
)
def test_bad_options_are_one_sentence_and_leave_no_report(run, tmp_path, override, error, message):
    with pytest.raises(error, match=message):
        run(override)
    assert not list((tmp_path / "out").glob("**/report.json"))


@pytest.mark.parametrize("override", ["dataset=nothing", "refiner.speed=9", "prompt=all", "+preset=unknown"])
def test_an_unknown_group_option_or_key_is_named(override):
    with pytest.raises(ConfigError, match=override.replace("+", "").split("=")[0].split(".")[-1]):
        compose_config([override])
