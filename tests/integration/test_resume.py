"""Runs that are killed go on where they stopped, and end as if nothing had happened."""

import contextlib
import json
import os
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from samref.config.compose import compose_config
from samref.engine import runner
from samref.refiners.bpr.network import BprNetwork, architecture
from samref.refiners.crm.network import CrmNetwork
from samref.refiners.segfix.network import HrNet2x, SegFixNetwork
from samref.refiners.segrefiner.unet import DenoisingUNet
from tests.factories import make_folder


def config(tmp_path, data, out, *overrides):
    return compose_config(
        [
            "dataset=folder",
            f"dataset.images={data / 'images'}",
            f"dataset.masks={data / 'masks'}",
            f"dataset.output={tmp_path / out}",
            f"paths.outputs={tmp_path / 'runs'}",
            "backbone=tiny",
            "verdict.enabled=false",
            "logger=none",
            "callbacks.progress=false",
            *overrides,
        ]
    )


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def masks(folder):
    return [path for path in folder.glob("*.png") if not path.name.startswith(".")]


def start_and_kill(cfg, output, after):
    """Runs in a process of its own and kills it once it has written so many images."""
    child = get_context("fork").Process(target=runner.run, args=(cfg,))
    child.start()
    try:
        while len(masks(output)) < after and child.is_alive():
            time.sleep(0.002)
    finally:
        child.kill()
        child.join()


@pytest.mark.parametrize("truth", [False, True], ids=["unscored", "scored"])
def test_a_killed_run_goes_on_and_writes_what_an_undisturbed_one_writes(tmp_path, truth):
    names = [f"image{k:02d}" for k in range(40)]
    data = make_folder(tmp_path / "data", names=names, truth=truth)
    scored = [f"dataset.truth={data / 'truth'}"] if truth else []
    undisturbed = runner.run(config(tmp_path, data, "undisturbed", *scored))
    cfg = config(tmp_path, data, "killed", *scored)
    start_and_kill(cfg, tmp_path / "killed", after=8)
    assert 8 <= len(masks(tmp_path / "killed")) < len(names), "the kill must have come in the middle"
    report = runner.run(cfg)
    assert report["taken_up"] >= 7, "an image's result is kept as soon as its masks are written"
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed")
    assert report["counts"] == undisturbed["counts"]
    assert report["metrics"] == undisturbed["metrics"] and bool(report["metrics"]) == truth
    samples = [Path(r["folder"], "samples.csv").read_text() for r in (report, undisturbed)]
    assert samples[0] == samples[1]
    pictures = [Path(r["folder"], "picture.png").read_bytes() for r in (report, undisturbed)]
    assert pictures[0] == pictures[1]
    assert report["left_over"] == []


def test_a_killed_run_of_other_refiners_goes_on_with_the_same_draws(tmp_path):
    names = [f"image{k}" for k in range(5)]
    data = make_folder(tmp_path / "data", names=names, size=(40, 56))
    options = best_of_all(tmp_path / "weights")
    undisturbed = runner.run(config(tmp_path, data, "undisturbed", *options))
    cfg = config(tmp_path, data, "killed", *options)
    start_and_kill(cfg, tmp_path / "killed", after=2)
    assert 2 <= len(masks(tmp_path / "killed")) < len(names), "the kill must have come in the middle"
    report = runner.run(cfg)
    assert report["taken_up"] >= 1
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed")
    assert report["origins"] == undisturbed["origins"]
    samples = [Path(r["folder"], "samples.csv").read_text() for r in (report, undisturbed)]
    assert samples[0] == samples[1]


def best_of_all(folder):
    """The overrides of a run of SegRefiner, CRM, BPR and SegFix with small random networks."""
    folder.mkdir()
    torch.manual_seed(0)
    networks = {
        "segrefiner": torch.nn.ModuleDict({"denoise_model": DenoisingUNet(32)}),
        "crm": CrmNetwork(),
        "bpr": BprNetwork(architecture(4, small=True, first=64)),
        "segfix": SegFixNetwork(HrNet2x(4, first=16)),
    }
    options = ["refiner=best_of", f"refiner.hypotheses=[{','.join(networks)}]", "mask_kind=semantic"]
    for name, network in networks.items():
        torch.save(network.state_dict(), folder / f"{name}.pth")
        options.append(f"refiner.members.{name}.weights={folder / name}.pth")
    small = {"segrefiner.size": 32, "segrefiner.min_area": 1, "bpr.patch": 16, "bpr.size": 32}
    options += [f"refiner.members.{key}={value}" for key, value in small.items()]
    return [*options, "+refiner.members.segrefiner.width=32"]


def test_finished_images_are_not_refined_again(tmp_path, monkeypatch):
    data = make_folder(tmp_path / "data", names=[f"image{k}" for k in range(4)])
    cfg = config(tmp_path, data, "out")
    from samref.refiners.samrefiner import SAMRefiner

    seen = []

    def refine(self, sample, original=SAMRefiner.refine_sample, **options):
        if len(seen) == 2 and not os.environ.get("GO_ON"):
            raise KeyboardInterrupt
        seen.append(sample.image_id)
        return original(self, sample, **options)

    monkeypatch.setattr(SAMRefiner, "refine_sample", refine)
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        runner.run(cfg)
    assert len(seen) == 2
    monkeypatch.setenv("GO_ON", "1")
    report = runner.run(cfg)
    assert sorted(seen) == ["image0", "image1", "image2", "image3"]
    assert report["counts"]["images"] == 4
    assert json.loads(next((tmp_path / "runs").glob("**/report.json")).read_text())["counts"]["images"] == 4
