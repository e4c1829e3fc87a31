"""Training the adaptor: nothing moves but predicted IoUs, and the cached path is the plain path."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from samref.adaption.checkpoint import load_adaptor, save_adaptor
from samref.adaption.lora import adapt_head, get_adapter_params
from samref.adaption.module import judge_of, prepare_targets, rate, training_refiner
from samref.adaption.ranking_loss import ranking_loss
from samref.adaption.training_data import CachedTargets, EpochSampler, PlainTargets
from samref.backbones.tiny import TinyHqSam, TinySam
from samref.config.compose import build, compose_config
from samref.datasets.davis import Davis585
from samref.datasets.loader import Samples
from samref.engine import runner
from samref.errors import ConfigError, WeightsError
from samref.geometry.masks import pair_iou
from samref.metrics.selection_accuracy import SelectionAccuracy
from samref.prompts.excavation import Frame
from tests.factories import make_davis585

KEYS = list("abcdef")  # of the six samples


@pytest.fixture(params=[TinySam, TinyHqSam])
def backbone(request):
    return request.param(device="cpu")


@pytest.fixture
def davis(tmp_path):
    return make_davis585(tmp_path / "davis585", sequences=2, frames=3, objects=2)


def parts(backbone, davis, *overrides):
    cfg = compose_config(["adaption=iou_lora", "dataset=davis585", *overrides])
    refiner = build(cfg.refiner, backbone=backbone, prompts=build(cfg.prompts))
    return refiner, build(cfg.adaption), Samples(Davis585(str(davis)), None, "raise")


def shake(backbone):
    with torch.no_grad():
        for parameter in get_adapter_params(backbone.iou_head).values():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))


def test_candidates_are_bit_identical_and_only_predicted_ious_move(backbone, davis):
    refiner, adaption, samples = parts(backbone, davis)
    sample = samples[0]
    embedding = backbone.encode(sample.image)
    prompts = refiner.prompts(sample.masks, embedding, Frame(backbone.img_size, backbone.mask_input_size))
    plain = backbone.decode(embedding, prompts)
    adaption.attach(backbone)
    fresh = backbone.decode(embedding, prompts)
    assert torch.equal(fresh.low_res_logits, plain.low_res_logits)
    assert torch.equal(fresh.iou_predictions, plain.iou_predictions)
    shake(backbone)
    adapted = backbone.decode(embedding, prompts)
    assert torch.equal(adapted.low_res_logits, plain.low_res_logits)
    assert not torch.equal(adapted.iou_predictions, plain.iou_predictions)


def train(targets, adaption, backbone, epochs=2):
    optimizer = adaption.optimizers(backbone)
    sgd, schedule = optimizer["optimizer"], optimizer["lr_scheduler"]["scheduler"]
    sampler, losses = EpochSampler(len(targets), adaption.seed), []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        order = list(sampler)
        for start in range(0, len(order), adaption.batch_size):
            loss = ranking_loss(*targets(torch.tensor(order[start : start + adaption.batch_size])), adaption.margin)
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            schedule.step()
            losses.append(loss.item())
    return losses


def test_the_cached_path_gives_the_losses_of_the_plain_path(backbone, davis, tmp_path):
    refiner, adaption, samples = parts(backbone, davis, "adaption.lr=0.2", "adaption.margin=0.5")
    losses = []
    layers = list(backbone.iou_head.layers)
    for cached in (True, False):
        object.__setattr__(adaption, "cached", cached)
        for index, layer in enumerate(layers):
            backbone.iou_head.layers[index] = layer
        adaption.attach(backbone)
        targets = prepare_targets(samples, refiner, adaption, tmp_path / "targets", KEYS)
        assert isinstance(targets, CachedTargets if cached else PlainTargets)
        assert len(targets) == 12
        losses.append(train(targets, adaption, backbone))
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-6)
    assert losses[0][0] != losses[0][-1]


@pytest.mark.parametrize("placement", ["last", "all"])
def test_the_target_may_be_what_a_verdict_decides(davis, tmp_path, placement):
    backbone = TinySam(device="cpu")
    refiner, adaption, samples = parts(backbone, davis, "adaption.target=verdict", f"adaption.placement={placement}")
    options = ["verdict.enabled=true", "verdict.source=superpixels", "verdict.recipes.superpixels.coarse_weight=0"]
    options += ["verdict.recipes.superpixels.min_overlap=0"]
    verdict = build(compose_config(options).verdict)
    decided = [judge_of(refiner, verdict).refine_sample(sample).masks for sample in samples]
    assert any((sample.masks != masks).any() for sample, masks in zip(samples, decided, strict=True))
    adaption.attach(backbone)
    targets = prepare_targets(samples, refiner, adaption, tmp_path, KEYS, judge_of(refiner, verdict))
    shake(backbone)
    _, wanted, _ = targets.rated(torch.arange(len(targets)))
    expected = []
    for sample, masks in zip(samples, decided, strict=True):
        found = training_refiner(refiner, adaption).refine_sample(sample, keep_candidates=True).candidates
        expected += [[pair_iou(one, mask) for one in three] for three, mask in zip(found, masks, strict=True)]
    np.testing.assert_allclose(wanted.numpy(), expected, atol=1e-6)


def test_another_placement_falls_back_to_the_plain_path(davis, tmp_path):
    backbone = TinySam(device="cpu")
    refiner, adaption, samples = parts(backbone, davis, "adaption.placement=all")
    adaption.attach(backbone)
    assert isinstance(prepare_targets(samples, refiner, adaption, tmp_path, KEYS), PlainTargets)


def test_targets_of_a_killed_run_are_taken_up_again_and_broken_ones_computed_again(davis, tmp_path, monkeypatch):
    backbone = TinySam(device="cpu")
    refiner, adaption, samples = parts(backbone, davis)
    whole = prepare_targets(samples, refiner, adaption, tmp_path / "targets", KEYS)
    (tmp_path / "targets" / "c.safetensors").unlink()
    (tmp_path / "targets" / "e.safetensors").write_bytes(b"torn")
    encoded = []
    monkeypatch.setattr(backbone, "encode", lambda image, encode=backbone.encode: encoded.append(1) or encode(image))
    again = prepare_targets(samples, refiner, adaption, tmp_path / "targets", KEYS)
    assert len(encoded) == 2
    assert torch.equal(again.features, whole.features)
    assert torch.equal(again.candidate_iou, whole.candidate_iou)
    assert torch.equal(again.truth_iou, whole.truth_iou)


def test_each_sample_has_the_targets_of_its_own_key(davis, tmp_path):
    backbone = TinySam(device="cpu")
    refiner, adaption, samples = parts(backbone, davis)
    before = prepare_targets(samples, refiner, adaption, tmp_path / "targets", KEYS)
    later = [samples[index] for index in (3, 0, 5)]
    again = prepare_targets(later, refiner, adaption, tmp_path / "targets", ["d", "new", "f"])
    assert torch.equal(again.features[:2], before.features[6:8])
    assert torch.equal(again.features[2:4], before.features[0:2])
    assert torch.equal(again.features[4:], before.features[10:])
    unnamed = prepare_targets(later, refiner, adaption, tmp_path / "targets", ["", "", ""])
    assert torch.equal(unnamed.features, again.features)
    assert {path.stem for path in (tmp_path / "targets").glob("*.safetensors")} == {*KEYS, "new"}


@pytest.mark.parametrize("placement", ["last", "all"])
def test_rates_are_those_of_a_refinement_with_the_training_prompts(davis, tmp_path, placement):
    backbone = TinySam(device="cpu")
    refiner, adaption, samples = parts(backbone, davis, f"adaption.placement={placement}")
    adaption.attach(backbone)
    shake(backbone)
    rates = rate(prepare_targets(samples, refiner, adaption, tmp_path / "targets", KEYS))
    metric = SelectionAccuracy()
    for sample in samples:
        result = training_refiner(refiner, adaption).refine_sample(sample)
        metric.update(result.chosen, result.candidate_iou)
    assert rates["top1_acc"] == pytest.approx(metric.compute()["top1_acc"])


def test_without_truth_no_accuracy_is_claimed(davis, tmp_path):
    backbone = TinySam(device="cpu")
    refiner, adaption, samples = parts(backbone, davis)
    adaption.attach(backbone)
    blind = [replace(samples[index], truth=None) for index in range(len(samples))]
    assert set(rate(prepare_targets(blind, refiner, adaption, tmp_path / "targets", KEYS))) == {"agreement"}


def test_an_adaptor_file_gives_back_every_bit(backbone, tmp_path):
    adapt_head(backbone.iou_head, 4, 8, "all", seed=0)
    shake(backbone)
    save_adaptor(tmp_path / "adaptor.safetensors", backbone, 4, 8, "all")
    other = type(backbone)(device="cpu")
    load_adaptor(tmp_path / "adaptor.safetensors", other)
    saved, loaded = (get_adapter_params(b.iou_head) for b in (backbone, other))
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)
    assert (tmp_path / "adaptor.safetensors").stat().st_size < 20_000


@pytest.mark.parametrize("spoil", ["backbone", "missing", "torn", "foreign", "shape"])
def test_an_adaptor_that_does_not_fit_is_an_error_that_says_why(tmp_path, spoil):
    backbone, path = TinySam(device="cpu"), tmp_path / "adaptor.safetensors"
    adapt_head(backbone.iou_head, 4, 4, "last", seed=0)
    save_adaptor(path, backbone, 4, 4, "last" if spoil != "shape" else "all")
    other = TinyHqSam(device="cpu") if spoil == "backbone" else TinySam(device="cpu")
    if spoil == "missing":
        path.unlink()
    elif spoil == "torn":
        path.write_bytes(path.read_bytes()[:40])
    elif spoil == "foreign":
        save_file({"x": torch.zeros(2)}, path)
    expected = {
        "backbone": "was trained on tiny .* but the backbone is tiny_hq",
        "missing": "is not there",
        "torn": "cannot be read",
        "foreign": "is not an adaptor of samref",
        "shape": "holds .* expected",
    }[spoil]
    layers = list(other.iou_head.layers)
    with pytest.raises(WeightsError, match=expected):
        load_adaptor(path, other)
    if spoil != "shape":
        assert list(other.iou_head.layers) == layers


@pytest.fixture
def run(tmp_path, davis):
    def go(*overrides):
        base = ["dataset=davis585", f"dataset.root={davis}", "backbone=tiny", f"paths.outputs={tmp_path / 'out'}"]
        return runner.run(compose_config([*base, "callbacks.progress=false", "adaption=iou_lora", *overrides]))

    return go


def test_a_sweep_trains_its_adaptor_once(run, tmp_path):
    first = run("prompts=box")
    second = run("prompts=all")
    assert len(list((tmp_path / "out" / "adaptors").glob("*/adaptor.safetensors"))) == 1
    assert first["adaption"] == second["adaption"]
    assert first["adaption"]["masks"] == 12
    assert first["adaption"]["steps"] == 117 + (-117 % 3)
    run("prompts=box", "adaption.rank=2")
    assert len(list((tmp_path / "out" / "adaptors").glob("*/adaptor.safetensors"))) == 2


def test_an_adaptor_is_trained_again_when_its_data_change_and_when_forced(run, davis, tmp_path, monkeypatch):
    import samref.adaption.module

    computed = []

    def compute(refiner, sample, *rest, original=samref.adaption.module.compute_targets):
        computed.append(sample.image_id)
        return original(refiner, sample, *rest)

    monkeypatch.setattr(samref.adaption.module, "compute_targets", compute)
    quick = ("prompts=box", "adaption.min_steps=2")
    first = run(*quick)
    assert len(computed) == 6
    computed.clear()
    assert run(*quick)["reused"] and not computed
    make_davis585(tmp_path / "other", sequences=1, frames=1)
    for path in (tmp_path / "other" / "seq0").iterdir():
        path.rename(davis / "seq0" / path.name.replace("00000", "00003"))
    added = run(*quick)
    assert computed == ["seq0/00003"], "the targets of the others are those of before"
    assert added["adaption"]["masks"] == 13
    assert added["adaption"]["checkpoint"] != first["adaption"]["checkpoint"]
    for path in (davis / "seq0").glob("*00003*"):
        path.unlink()
    computed.clear()
    assert run(*quick)["adaption"] == first["adaption"] and not computed
    again = run(*quick, "force=true")
    assert len(computed) == 6
    assert {**again["adaption"], "seconds": 0} == {**first["adaption"], "seconds": 0}
    assert again["adaption"]["seconds"] != first["adaption"]["seconds"]


def test_a_verdicts_masks_are_a_target_of_their_own(run, tmp_path):
    quick = ("prompts=box", "adaption.min_steps=2")
    coarse = run(*quick)["adaption"]
    verdict = run(*quick, "adaption.target=verdict", "verdict.source=boxes")["adaption"]
    assert verdict["source"] == "boxes" and "source" not in coarse
    assert verdict["checkpoint"] != coarse["checkpoint"]
    estimated = run(*quick, "adaption.target=verdict")["adaption"]
    assert estimated["source"] in ("boxes", "polygons", "network", "superpixels", "good")


def test_the_adaptor_is_taken_off_after_its_job(run):
    before = run("prompts=box", "adaption=none")["metrics"]
    run("prompts=box", "adaption.lr=1.0", "adaption.margin=0.5")
    assert run("prompts=box", "adaption=none", "force=true")["metrics"] == before


def test_a_trained_adaptor_can_be_loaded_instead(run):
    trained = run("adaption.lr=1.0", "adaption.margin=0.5")
    loaded = run(f"adaption.checkpoint={trained['adaption']['checkpoint']}", "force=true")
    assert loaded["metrics"] == trained["metrics"]
    assert loaded["adaption"] == {"checkpoint": trained["adaption"]["checkpoint"]}


def test_a_killed_fit_goes_on_from_its_last_epoch_to_the_same_adaptor(run, tmp_path, monkeypatch):
    import samref.engine.adaptor

    whole = run("adaption.min_steps=30")
    file = next((tmp_path / "out" / "adaptors").glob("*/adaptor.safetensors"))
    expected = load_file(file)
    for leftover in (*file.parent.iterdir(), *(tmp_path / "out" / "evaluate").glob("*/report.json")):
        leftover.unlink()

    class Killed(BaseException):
        pass

    def dies(self, trainer, module, note=samref.engine.adaptor.Losses.on_train_epoch_end):
        note(self, trainer, module)
        if len(self.epochs) == 4:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(samref.engine.adaptor.Losses, "on_train_epoch_end", dies)
        with pytest.raises(Killed):
            run("adaption.min_steps=30")
    assert not file.exists()
    assert (file.parent / "last.ckpt").is_file()
    resumed = run("adaption.min_steps=30")
    resumed_tensors = load_file(file)
    assert all(torch.equal(resumed_tensors[name], value) for name, value in expected.items())
    assert resumed["metrics"] == whole["metrics"]
    assert len(json.loads((file.parent / "training.json").read_text())["epoch_losses"]) == 10


def test_the_checkpoint_of_a_fit_holds_the_adaptor_alone(run, tmp_path):
    run()
    checkpoint = torch.load(next((tmp_path / "out" / "adaptors").glob("*/last.ckpt")), weights_only=True)
    assert len(checkpoint["state_dict"]) == 2
    assert all("lora" in name for name in checkpoint["state_dict"])


@pytest.mark.parametrize("override", ["adaption.target=best", "adaption.epochs=0", "adaption.placement=first"])
def test_values_without_meaning_are_refused(run, override):
    with pytest.raises(ConfigError, match="expected"):
        run(override)
