"""Training runs from configuration to report: what they are trained on, what is reused, what is resumed."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from lightning.fabric.utilities.rank_zero import rank_zero_only
from PIL import Image

from samref.config.compose import compose_config, plain
from samref.engine import runner
from samref.engine.identity import fingerprint
from samref.errors import ConfigError, DatasetError, InputError
from samref.training.module import TrainingModule
from tests.factories_benchmarks import make_voc, save_labels


@pytest.fixture
def voc(tmp_path):
    made = make_voc(tmp_path / "voc")
    lists = made.root / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("\n".join(made.names[:2]) + "\n")
    return made


def words(tmp_path, voc, *overrides):
    return [
        "+experiment=voc_training", f"dataset.root={voc.root}", f"dataset.coarse={voc.coarse}", "backbone=tiny",
        "backbone.device=cpu", "network.width=8", "logger=none", "callbacks.progress=false", "schedule.batch_size=2",
        "schedule.checkpoint_every=2", "+trainer.max_steps=4", "trainer.accelerator=cpu",
        f"paths.outputs={tmp_path / 'out'}", *overrides,
    ]  # fmt: skip


@pytest.fixture
def run(tmp_path, voc):
    return lambda *overrides: runner.run(compose_config(words(tmp_path, voc, *overrides)))


def test_each_kind_of_masks_trains_a_network_that_is_scored(run):
    reports = {masks: run(f"training.masks={masks}") for masks in ("coarse", "refined", "truth")}
    for masks, report in reports.items():
        assert 0 <= report["metrics"]["trained"]["miou"] <= 1
        assert report["training"]["masks"] == masks
        assert report["training"]["steps"] == len(report["training"]["losses"]) == 4
        assert Path(report["training"]["weights"]).is_file()
        assert report["counts"] == {"images": 2, "scored": 3, "classes": 21}
    losses = [tuple(report["training"]["losses"]) for report in reports.values()]
    assert len(set(losses)) == 3
    assert run("training.masks=truth")["reused"]


def test_the_refinement_is_the_run_of_the_experiment_for_pseudo_masks(run, tmp_path, voc):
    run("training.masks=refined", "training.seed=1")
    own = [word for word in words(tmp_path, voc) if not word.startswith(("network", "schedule", "+trainer", "trainer"))]
    finished = runner.run(compose_config(["+experiment=voc", *own[1:], "save_masks=true"]))
    assert finished["reused"]
    masks = Path(finished["folder"]) / "masks"
    other = run("training.masks=refined", "training.seed=1", f"training.refined={masks}")
    report = run("training.masks=refined", "training.seed=1")
    assert other["training"]["losses"] == report["training"]["losses"]


def test_how_masks_are_refined_is_no_matter_where_others_are_trained_on(tmp_path, voc):
    def known(*overrides):
        return fingerprint(plain(compose_config(words(tmp_path, voc, *overrides))))

    assert known("training.masks=coarse") == known("training.masks=coarse", "prompts=box", "refiner.iterations=2")
    assert known("training.masks=refined") != known("training.masks=refined", "prompts=box")
    assert known("training.masks=coarse") != known("training.masks=truth")


def test_a_killed_fit_goes_on_to_the_same_losses(run, monkeypatch, tmp_path):
    whole = run(f"paths.outputs={tmp_path / 'whole'}")

    class Killed(Exception):
        pass

    def die(self, batch, batch_idx, original=TrainingModule.training_step):
        if self.global_step == 3:
            raise Killed
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", die)
        with pytest.raises(Killed):
            run()
    steps = []

    def seen(self, batch, batch_idx, original=TrainingModule.training_step):
        steps.append(self.global_step)
        return original(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", seen)
    resumed = run()
    assert steps == [2, 3]
    assert resumed["training"]["losses"] == whole["training"]["losses"]
    assert resumed["metrics"] == whole["metrics"]
    one, other = (Path(report["training"]["weights"]).read_bytes() for report in (resumed, whole))
    assert one == other


def test_a_damaged_checkpoint_costs_a_new_start_only(run):
    folder = Path(run()["folder"])
    (folder / "report.json").unlink()
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"half a file")
    assert run()["training"]["steps"] == 4


def _process(rank, folder, overrides):
    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29533", "WORLD_SIZE": "2", "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
    }  # fmt: skip
    rank_zero_only.rank = rank
    report = runner.run(compose_config([*overrides, "trainer.devices=2", "+trainer.strategy=ddp"]))
    (folder / f"{rank}.json").write_text(json.dumps([report["metrics"], report["training"]["steps"]]))


def test_two_processes_train_one_network(tmp_path, voc):
    overrides = words(tmp_path, voc, "+trainer.max_steps=1", "schedule.augmentation.flip=0")
    overrides.remove("+trainer.max_steps=4")
    mp.start_processes(_process, args=(tmp_path, overrides), nprocs=2, start_method="fork")
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert found[0] == found[1]
    assert found[0][1] == 1


def test_masks_of_another_size_are_named(run, voc):
    save_labels(voc.coarse / f"{voc.names[0]}.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(InputError, match=rf"{voc.names[0]}.png is \(5, 5\)"):
        run()


def test_a_class_outside_the_list_is_named(run, voc):
    labels = voc.truth[voc.names[0]].copy()
    labels[0, 0] = 77
    save_labels(voc.coarse / f"{voc.names[0]}.png", labels)
    with pytest.raises(InputError, match=r"holds the values \[77\]"):
        run()


def test_an_empty_split_is_named(run, voc):
    (voc.root / "ImageSets" / "Segmentation" / "train.txt").write_text("\n")
    with pytest.raises(DatasetError, match="lists no images"):
        run()


def test_a_loss_that_is_no_number_ends_in_a_sentence(run):
    with pytest.raises(InputError, match=r"lower schedule.lr"):
        run("schedule.lr=1e30", "schedule.warmup=0")


def test_unknown_masks_are_refused(run):
    with pytest.raises(ConfigError, match=r"training.masks is 'better'"):
        run("training.masks=better")


def test_validation_while_training_is_logged(run):
    report = run("schedule.validate_every=2", "logger=csv")
    table = (Path(report["folder"]) / "metrics.csv").read_text().splitlines()
    column = table[0].split(",").index("val/miou")
    assert sum(bool(row.split(",")[column]) for row in table[1:]) >= 2
    assert "train/loss" in table[0]


def test_the_palette_of_a_label_png_is_no_matter(run, voc):
    path = voc.coarse / f"{voc.names[0]}.png"
    before = run()["training"]["losses"]
    Image.fromarray(np.array(Image.open(path))).save(path)
    assert run("force=true")["training"]["losses"] == before
