"""When a finished run is taken for done, what is done again, and what is only added."""

import json
from pathlib import Path

import pytest

from samref.config.compose import compose_config, plain
from samref.engine import runner
from samref.engine.identity import fingerprint
from samref.engine.inputs import named_files
from samref.errors import ConfigError, OutputError
from samref.refiners.samrefiner import SAMRefiner
from tests.factories import make_folder, save_photo


@pytest.fixture
def data(tmp_path):
    return make_folder(tmp_path / "data", names=("a", "b", "c"), truth=True)


@pytest.fixture
def refined(monkeypatch):
    """Ids of the images that the last run refined."""
    seen = []

    def refine(self, sample, original=SAMRefiner.refine_sample, **options):
        seen.append(sample.image_id)
        return original(self, sample, **options)

    monkeypatch.setattr(SAMRefiner, "refine_sample", refine)
    return seen


@pytest.fixture
def run(tmp_path, data, refined):
    def go(*overrides):
        refined.clear()
        folders = [f"dataset.{part}={data / part}" for part in ("images", "masks", "truth")]
        quiet = ["backbone=tiny", "logger=none", "callbacks.progress=false", "verdict.enabled=false", "save_masks=true"]
        words = ["dataset=folder", *folders, *quiet, f"paths.outputs={tmp_path / 'out'}", *overrides]
        return runner.run(compose_config(words))

    return go


def test_the_same_inputs_are_not_refined_again(run, refined):
    first = run()
    assert refined == ["a", "b", "c"]
    assert first["taken_up"] == 0
    again = run()
    assert again["reused"]
    assert not refined
    assert {key: again[key] for key in first} == first


def test_each_change_of_an_input_costs_its_own_work(run, refined, data):
    first = run()
    save_photo(data / "images" / "b.jpg", (48, 80), 99)
    report = run()
    assert refined == ["b"]
    assert report["taken_up"] == 2
    for part in ("masks", "truth"):
        (data / part / "c.png").rename(data / part / "c_1.png")
    report = run()
    assert refined == ["c"]
    assert [Path(path).name for path in report["left_over"]] == ["c.png"]
    (data / "truth" / "a.png").write_bytes((data / "truth" / "b.png").read_bytes())
    assert run()["metrics"] != first["metrics"]
    assert refined == ["a"]
    (data / "images" / "a.jpg").unlink()
    report = run()
    assert not refined
    assert report["counts"]["images"] == 2
    assert [Path(path).name for path in report["left_over"]] == ["a.png", "c.png"]
    for path in report["left_over"]:
        Path(path).unlink()
    (data / "masks" / "a.png").unlink()
    assert run()["left_over"] == []
    assert not refined


def test_force_does_everything_again_in_the_same_folder(run, refined):
    first = run()
    again = run("force=true")
    assert refined == ["a", "b", "c"]
    assert again["taken_up"] == 0
    assert (again["metrics"], again["folder"], again["left_over"]) == (first["metrics"], first["folder"], [])


def test_a_missing_output_is_written_again_and_a_changed_one_is_refused(run, refined):
    masks = Path(run()["folder"]) / "masks"
    content = (masks / "b.png").read_bytes()
    (masks / "b.png").unlink()
    run()
    assert refined == ["b"]
    assert (masks / "b.png").read_bytes() == content
    (masks / "b.png").write_bytes(b"somebody's work")
    for _ in range(2):
        with pytest.raises(OutputError, match=r"b\.png changed since .* force=true"):
            run()
        assert (masks / "b.png").read_bytes() == b"somebody's work"
    run("force=true")
    assert (masks / "b.png").read_bytes() == content


def test_a_changed_output_of_a_changed_input_is_refused_too(run, data):
    masks = Path(run()["folder"]) / "masks"
    (masks / "b.png").write_bytes(b"somebody's work")
    save_photo(data / "images" / "b.jpg", (48, 80), 99)
    with pytest.raises(OutputError, match="changed since"):
        run()


def test_masks_and_candidates_that_were_not_written_are_written_later(run, refined):
    folder = Path(run("save_masks=false")["folder"])
    assert not (folder / "masks").exists()
    assert Path(run("save_masks=true")["folder"]) == folder
    assert refined == ["a", "b", "c"]
    assert len(list((folder / "masks").glob("*.png"))) == 3
    assert run("save_masks=true")["reused"]
    run("save_masks=true", "save_candidates=true")
    assert len(list((folder / "candidates").rglob("*.png"))) == 9


def test_pictures_that_were_not_drawn_are_drawn_later_without_refining_again(run, refined):
    folder = Path(run("callbacks.gallery=0", "callbacks.picture=0")["folder"])
    assert not (folder / "gallery.html").exists()
    assert not (folder / "picture.png").exists()
    run()
    assert not refined
    assert (folder / "gallery.html").read_text().count('class="item"') == 3
    drawn = (folder / "picture.png").read_bytes()
    (folder / "picture.png").unlink()
    run()
    assert not refined
    assert (folder / "picture.png").read_bytes() == drawn
    run("force=true")
    assert (folder / "picture.png").read_bytes() == drawn


@pytest.mark.parametrize(
    "overrides", [["+trainer.limit_test_batches=1"], ["+trainer.benchmark=true"], ["seed=1"], ["prompts=box"]]
)
def test_options_that_change_masks_or_numbers_are_another_job(run, refined, overrides):
    first = run()
    other = run(*overrides)
    assert "reused" not in other
    assert refined
    assert other["folder"] != first["folder"]
    assert run()["counts"]["images"] == 3


@pytest.mark.parametrize(
    "overrides",
    [["trainer.devices=1"], ["num_workers=1"], ["refiner.chunk_size=1"], ["logger=csv"]],
)
def test_options_that_change_neither_are_the_same_job(run, overrides):
    first = run()
    assert run(*overrides)["finished"] == first["finished"]


def test_another_arithmetic_of_the_trainer_is_refused(run):
    with pytest.raises(ConfigError, match=r"trainer\.precision is bf16-mixed.*backbone\.precision"):
        run("+trainer.precision=bf16-mixed")
    run("+trainer.precision=32-true")


def test_a_job_that_is_limited_by_the_trainer_is_not_taken_up_in_parts(run, refined):
    limited = "+trainer.limit_test_batches=2"
    folder = Path(run(limited)["folder"])
    assert refined == ["a", "b"]
    (folder / "report.json").unlink()
    assert run(limited)["counts"]["images"] == 2
    assert refined == ["a", "b"]


def test_results_of_another_version_are_done_again(run, refined, monkeypatch):
    run()
    monkeypatch.setattr("samref.engine.data.RESULTS_VERSION", 999)
    run()
    assert refined == ["a", "b", "c"]


def test_a_report_that_was_edited_is_not_taken_for_the_run_s(run, refined):
    path = Path(run()["folder"]) / "report.json"
    report = json.loads(path.read_text())
    report["metrics"]["refined"]["iou"] = 1.0
    path.write_text(json.dumps(report))
    assert run()["metrics"]["refined"]["iou"] != 1.0
    assert not refined


def test_files_that_options_name_are_inputs():
    names = ("weights.pth", "other.safetensors", "masks")
    cfg = {
        "backbone": {"_target_": "samref.backbones.sam.Sam", "name": "vit_b", "weights": names[0]},
        "adaption": {"_target_": "samref.adaption.iou_lora.IouLora", "checkpoint": names[1], "target": "coarse"},
        "refiner": {"_target_": "samref.refiners.external.External", "masks": names[2], "pattern": "{file}"},
        "prompts": {"_target_": None, "use": ["point"]},
        "dataset": {"_target_": "samref.datasets.big.BigDataset", "root": "named by the data set itself"},
    }
    assert {key: str(path) for key, path in named_files(cfg)} == {
        "backbone.weights": names[0], "adaption.checkpoint": names[1], "refiner.masks": names[2],
    }  # fmt: skip


def test_masks_of_another_tool_are_inputs(run, data, tmp_path):
    tool = tmp_path / "tool"
    tool.mkdir()
    for path in (data / "masks").iterdir():
        (tool / path.name).write_bytes(path.read_bytes())
    words = ("refiner=external", f"refiner.masks={tool}")
    first = run(*words)
    assert run(*words)["reused"]
    (tool / "a.png").write_bytes((tool / "b.png").read_bytes())
    assert run(*words)["metrics"] != first["metrics"]


def test_foreign_callbacks_are_part_of_a_job_and_ours_are_not():
    def of(*overrides):
        return fingerprint(plain(compose_config(["backbone=tiny", *overrides])))

    assert of() == of("callbacks.gallery=0", "callbacks.picture.count=3", "~callbacks.progress")
    assert of() != of("+callbacks.mine._target_=package.Mine")


def test_a_value_in_place_of_a_callback_is_refused(run):
    with pytest.raises(
        ConfigError, match=r"callbacks\.gallery is 5; expected null, which .* callbacks\.gallery\.count$"
    ):
        run("callbacks.gallery=5")
