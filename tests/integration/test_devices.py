"""On another device than the processor everything works, and gives what it gives on the processor."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from samref.adaption.lora import get_adapter_params
from samref.backbones.tiny import TinyHqSam, TinySam
from samref.config.compose import build, compose_config
from samref.datasets.davis import Davis585
from samref.engine import adaptor, parts, runner
from samref.engine.trainer import placement
from samref.errors import ConfigError, DeviceError
from samref.prompts.excavation import PARTS
from tests.factories import make_davis585, make_folder
from tests.factories_benchmarks import make_voc
from tests.second_device import DEVICE, NAME, second_device

COMBINATIONS = [[part for k, part in enumerate(PARTS) if bits >> k & 1] for bits in range(1, 8)]


@pytest.fixture(autouse=True)
def no_shared_backbone():
    """A process keeps its last backbone: not beyond a test, for another could not move it."""
    parts.load_backbone.cache_clear()
    yield
    parts.load_backbone.cache_clear()


@pytest.fixture
def davis(tmp_path):
    return make_davis585(tmp_path / "davis585", sequences=2, frames=1, objects=2)


def test_the_second_device_is_one():
    with second_device() as device:
        there, here = torch.zeros(3, 4, device=device), torch.ones(3, 4)
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises((RuntimeError, TypeError)):
            there.numpy()
        layer = torch.nn.Linear(4, 2).to(device)
        with pytest.raises(RuntimeError, match="same device"):
            layer(here)
        layer(here.to(device)).sum().backward()
        assert layer.weight.grad.device == device
        assert torch.equal((there + 1).cpu(), here)
        assert torch.equal(there[torch.tensor([0])].cpu(), here[:1] - 1)


def nearly(found, expected):
    """Pixels whose logit is 0 but for rounding may change sides."""
    assert found.shape == expected.shape
    assert (found != expected).mean() < 1e-3


@pytest.mark.parametrize("cls", [TinySam, TinyHqSam])
def test_refinement_there_is_refinement_here(cls, davis):
    sample = Davis585(str(davis))[0]
    cfg = compose_config(["verdict.enabled=true"])

    def refinements(backbone):
        for use in COMBINATIONS:
            prompts = build(cfg.prompts).using(use)
            refiner = build(cfg.refiner, backbone=backbone, prompts=prompts)
            refiner.verdict = build(cfg.verdict)
            yield refiner.refine_sample(sample, keep_candidates=True, keep_logits=True)
        for options in ({"iterations": 2}, {"iterations": 2, "cascade": "all_then_logits"}, {"selection": "coarse"}):
            refiner = build(cfg.refiner, backbone=backbone, prompts=build(cfg.prompts), **options)
            refiner.keep_coarse_iou = True
            yield refiner.refine_sample(sample, keep_candidates=True, keep_logits=True)

    here = list(refinements(cls(device="cpu")))
    with second_device():
        there = list(refinements(cls(device=NAME)))
    assert any(one.reasons is not None for one in here)
    for one, other in zip(there, here, strict=True):
        nearly(one.masks, other.masks)
        nearly(one.candidates, other.candidates)
        np.testing.assert_allclose(one.iou_predictions, other.iou_predictions, atol=1e-5)
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-3)


def test_a_batch_of_images_there_is_one_here(davis):
    images = [sample.image for sample in (Davis585(str(davis))[k] for k in range(2))]
    here = TinyHqSam(device="cpu").encode_batch(images)
    with second_device():
        there = TinyHqSam(device=NAME).encode_batch(images)
        assert there[0].features.device == DEVICE
        for one, other in zip(there, here, strict=True):
            torch.testing.assert_close(one.features.cpu(), other.features, atol=1e-5, rtol=1e-5)


def run(tmp_path, place, *overrides):
    quiet = ["backbone=tiny", "logger=none", "callbacks.progress=false", f"paths.outputs={tmp_path / place}"]
    return runner.run(compose_config([*quiet, f"backbone.device={place}", *overrides]))


def both(tmp_path, *jobs):
    """Reports of the same jobs, one after the other, here and there."""
    here = [run(tmp_path, "cpu", *job) for job in jobs]
    with second_device():
        there = [run(tmp_path, NAME, *job) for job in jobs]
    return list(zip(here, there, strict=True))


def written(report):
    folder = Path(report["folder"])
    return {path.relative_to(folder): path.read_bytes() for path in folder.glob("masks/**/*.png")}


@pytest.mark.parametrize("options", [[], ["adaption.cached=false"], ["adaption.placement=all"]])
def test_adaption_trains_and_rates_there_and_so_do_later_jobs_of_the_process(tmp_path, davis, options):
    data = ["dataset=davis585", f"dataset.root={davis}", "adaption=iou_lora", *options]
    data += [f"adaption.min_steps={2 if options else 6}"]
    later = [[*data, "adaption.lr=0.1"], [*data, "prompts=box", "guard.enabled=true"]]
    for here, there in both(tmp_path, data, *(later if not options else later[:1])):
        assert there["adaption"]["masks"] == 4
        for key in ("agreement_before", "agreement_after", "top1_acc_after"):
            assert there["adaption"][key] == here["adaption"][key]
        np.testing.assert_allclose(there["adaption"]["epoch_losses"], here["adaption"]["epoch_losses"], atol=1e-5)
        assert there["metrics"]["refined"]["iou"] == pytest.approx(here["metrics"]["refined"]["iou"], abs=1e-3)


def test_a_fit_that_was_cut_off_goes_on_there(tmp_path, davis, monkeypatch):
    data = ["dataset=davis585", f"dataset.root={davis}", "adaption=iou_lora", "adaption.min_steps=4"]
    whole = run(tmp_path, "cpu", *data)
    note = adaptor.Losses.on_train_epoch_end

    def cut_off(self, trainer, module):
        note(self, trainer, module)
        if len(self.epochs) == 3:
            raise RuntimeError("cut off")

    with second_device():
        with monkeypatch.context() as patch:
            patch.setattr(adaptor.Losses, "on_train_epoch_end", cut_off)
            with pytest.raises(RuntimeError, match="cut off"):
                run(tmp_path, NAME, *data)
        report = run(tmp_path, NAME, *data)
    np.testing.assert_allclose(report["adaption"]["epoch_losses"], whole["adaption"]["epoch_losses"], atol=1e-5)


def test_folders_and_label_maps_are_refined_there(tmp_path):
    data = make_folder(tmp_path / "data", names=[f"image{k}" for k in range(4)])
    folder = ["dataset=folder", f"dataset.images={data}/images", f"dataset.masks={data}/masks"]
    made = make_voc(tmp_path / "voc")
    voc = ["dataset=voc", f"dataset.root={made.root}", f"dataset.coarse={made.coarse}", "save_masks=true"]
    jobs = [folder, [*folder, "verdict.enabled=false", "save_candidates=true"], voc]
    for here, there in both(tmp_path, *jobs):
        assert there["counts"]["images"] == here["counts"]["images"] > 0
        assert there["counts"]["failed"] == here["counts"]["failed"]
        one, other = written(there), written(here)
        assert one.keys() == other.keys()
        assert len(one) > 0


def test_the_grid_runs_there(tmp_path, davis):
    data = ["dataset=davis585", f"dataset.root={davis}", "refiner=grid_max_iou", "refiner.points_per_side=2"]
    for here, there in both(tmp_path, data):
        assert there["metrics"]["refined"]["iou"] == pytest.approx(here["metrics"]["refined"]["iou"], abs=1e-2)


def test_an_adaptor_is_loaded_there(tmp_path, davis):
    data = ["dataset=davis585", f"dataset.root={davis}", "adaption=iou_lora", "adaption.min_steps=2"]
    trained = run(tmp_path, "cpu", *data)["adaption"]["checkpoint"]
    with second_device():
        report = run(tmp_path, NAME, *data, f"adaption.checkpoint={trained}")
        assert not get_adapter_params(parts.shared_backbone(compose_config(["backbone=tiny"]).backbone))
    assert report["adaption"] == {"checkpoint": trained}


def test_the_model_stays_where_it_is_when_a_job_has_ended(tmp_path, davis):
    with second_device():
        cfg = compose_config(["backbone=tiny", f"backbone.device={NAME}"])
        run(tmp_path, NAME, "dataset=davis585", f"dataset.root={davis}")
        assert parts.shared_backbone(cfg.backbone).device == DEVICE


@pytest.mark.parametrize(
    ("device", "overrides", "expected"),
    [
        ("cpu", [], {"accelerator": "cpu"}),
        ("cpu", ["trainer.accelerator=cpu", "trainer.devices=2"], {"accelerator": "cpu"}),
        ("cuda", ["trainer.accelerator=gpu"], {"accelerator": "gpu"}),
        ("cuda:0", ["trainer.accelerator=cuda"], {"accelerator": "gpu", "devices": [0]}),
        ("cuda:2", [], {"accelerator": "gpu", "devices": [2]}),
        ("cuda:0", ["trainer.devices=4"], {"accelerator": "gpu"}),
    ],
)
def test_the_trainer_follows_the_backbone(device, overrides, expected):
    assert placement(compose_config(overrides).trainer, torch.device(device)) == expected


@pytest.mark.parametrize(("device", "accelerator"), [("cpu", "gpu"), ("cuda:0", "cpu"), ("cpu", "tpu")])
def test_a_trainer_on_another_device_is_refused(device, accelerator):
    cfg = compose_config([f"trainer.accelerator={accelerator}"])
    with pytest.raises(ConfigError, match=rf"trainer\.accelerator is {accelerator} .*backbone\.device"):
        placement(cfg.trainer, torch.device(device))


class Small:
    """A device that holds so many at once, and no more."""

    def __init__(self, holds):
        self.holds, self.seen = holds, []

    def check(self, count):
        self.seen.append(count)
        if count > self.holds:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")


def crowded(backbone, holds, monkeypatch):
    """The backbone on a device that holds so many images or masks at once."""
    device, encode = Small(holds), backbone.encode_pixels
    monkeypatch.setattr(backbone, "encode_pixels", lambda pixels: device.check(len(pixels)) or encode(pixels))
    decoder, call = backbone.decoder_class, backbone.decoder_class.__call__
    monkeypatch.setattr(decoder, "group_size", lambda self, device: 16)

    def checked(self, image, sparse, *rest):
        device.check(len(sparse))
        return call(self, image, sparse, *rest)

    monkeypatch.setattr(decoder, "__call__", checked)
    return device


def test_where_memory_is_short_fewer_are_worked_on_at_once(davis, monkeypatch):
    sample = Davis585(str(davis))[0]
    crowd = replace(sample, masks=np.repeat(sample.masks[:1], 11, axis=0), object_ids=tuple(range(11)), truth=None)
    cfg = compose_config([])
    refiner = build(cfg.refiner, backbone=TinySam(device="cpu"), prompts=build(cfg.prompts))
    expected = refiner.refine_sample(crowd)
    features = [one.features for one in refiner.backbone.encode_batch([sample.image] * 5)]
    device = crowded(refiner.backbone, 3, monkeypatch)
    found = refiner.refine_sample(crowd)
    nearly(found.masks, expected.masks)
    np.testing.assert_allclose(found.iou_predictions, expected.iou_predictions, atol=1e-5)
    assert device.seen == [1, 11, 5, 2, 2, 2, 2, 2, 1]
    device.seen.clear()
    refiner.refine_sample(crowd)
    assert max(device.seen) == 2, "what fits is remembered"
    device.seen.clear()
    for one, other in zip(refiner.backbone.encode_batch([sample.image] * 5), features, strict=True):
        torch.testing.assert_close(one.features, other, atol=1e-5, rtol=1e-5)
    assert device.seen == [5, 2, 2, 1]


def test_a_device_too_small_for_one_is_one_sentence_and_what_is_done_stays(tmp_path, monkeypatch):
    data = make_folder(tmp_path / "data", names=[f"image{k}" for k in range(4)])
    job = ["dataset=folder", f"dataset.images={data}/images", f"dataset.masks={data}/masks", "verdict.enabled=false"]
    masks = tmp_path / "masks"
    backbone = parts.shared_backbone(compose_config(["backbone=tiny", "backbone.device=cpu"]).backbone)
    encode, turns = backbone.encode_pixels, []

    def small(pixels):
        turns.append(len(pixels))
        if len(turns) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return encode(pixels)

    with monkeypatch.context() as patch:
        patch.setattr(backbone, "encode_pixels", small)
        with pytest.raises(DeviceError, match=r"backbone\.precision=bf16") as caught:
            run(tmp_path, "cpu", *job, f"dataset.output={masks}")
    assert "\n" not in str(caught.value)
    assert len(list(masks.glob("*.png"))) == 2
    assert run(tmp_path, "cpu", *job, f"dataset.output={masks}")["counts"]["images"] == 4
