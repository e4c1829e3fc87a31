"""What every backbone can: half precision, compiling, batches, a cache, other devices, an adaptor."""

import copy
import pickle

import pytest
import torch

from samref.adaption.lora import get_adapter_params
from samref.adaption.module import prepare_targets
from samref.adaption.ranking_loss import ranking_loss
from samref.adaption.training_data import CachedTargets, PlainTargets
from samref.backbones.cache import CachedBackbone, EmbeddingStore
from samref.config.compose import build, compose_config
from samref.datasets.davis import Davis585
from samref.datasets.loader import Samples
from samref.prompts.excavation import Frame
from tests.backbones.prompting import random_image, random_prompts
from tests.factories import make_davis585
from tests.second_device import second_device

SIZES = ((61, 97), (80, 30), (128, 128))
IMAGES = [random_image(size, seed) for seed, size in enumerate(SIZES)]


def maps(embedding):
    return [embedding.features, *embedding.interm]


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 6e-2), ("fp16", 1e-2)])
def test_half_precision_rounds_and_comes_back_in_float32(case, precision, tolerance):
    for found, expected in zip(
        maps(case.open(precision=precision).encode(IMAGES[0])), maps(case.backbone.encode(IMAGES[0])), strict=True
    ):
        assert found.dtype == torch.float32
        error = (found - expected).abs().max() / expected.abs().max()
        assert 0 < error < tolerance


def test_a_batch_is_its_images_one_by_one(case):
    for image, together in zip(IMAGES, case.backbone.encode_batch(IMAGES), strict=True):
        alone = case.backbone.encode(image)
        assert (together.original_size, together.input_size) == (alone.original_size, alone.input_size)
        for one, other in zip(maps(together), maps(alone), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_a_compiled_encoder_is_the_same_function(cases, monkeypatch):
    """The package's own encoder: those of SAM and HQ-SAM run as `FastViT`, whose test it is."""
    case, plain = cases("sam2_hiera_t"), torch.compile
    monkeypatch.setattr(torch, "compile", lambda module, **options: plain(module, backend="eager", **options))
    compiled = case.open(compile=True)
    for one, other in zip(maps(compiled.encode(IMAGES[0])), maps(case.backbone.encode(IMAGES[0])), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert compiled.encoder_id != case.backbone.encoder_id


def test_all_maps_come_back_from_the_cache(case, tmp_path):
    prompts = random_prompts(2, SIZES[0], case.backbone.mask_input_size)
    expected = case.backbone.decode(case.backbone.encode(IMAGES[0]), prompts)
    for hits in (0, 1):
        cached = CachedBackbone(case.backbone, EmbeddingStore(tmp_path, 1))
        found = cached.encode(IMAGES[0])
        assert cached.hits == hits
        assert found.input_size == case.backbone.encode(IMAGES[0]).input_size
        assert torch.equal(cached.decode(found, prompts).low_res_logits, expected.low_res_logits)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda backbone: pickle.loads(pickle.dumps(backbone))])
def test_copies_are_whole(case, twin):
    case.backbone.encode(IMAGES[0])
    other = twin(case.backbone)
    prompts = random_prompts(2, SIZES[0], other.mask_input_size)
    found = other.decode(other.encode(IMAGES[0]), prompts).low_res_logits
    assert torch.equal(found, case.backbone.decode(case.backbone.encode(IMAGES[0]), prompts).low_res_logits)


def test_another_device_gives_the_same(case):
    prompts = random_prompts(2, SIZES[0], case.backbone.mask_input_size)
    expected = case.backbone.decode(case.backbone.encode(IMAGES[0]), prompts)
    with second_device() as device:
        moved = case.open().to(device)
        found = moved.decode(moved.encode(IMAGES[0]), prompts)
        assert found.low_res_logits.device == device
        torch.testing.assert_close(found.low_res_logits.cpu(), expected.low_res_logits, atol=1e-4, rtol=0)


def test_an_adaptor_trains_alike_on_the_cached_and_on_the_plain_path(case, tmp_path):
    """On what the last layer leaves: predicted IoUs, or their logits where a sigmoid follows."""
    cfg = compose_config(["adaption=iou_lora", "dataset=davis585"])
    backbone = case.open()
    refiner = build(cfg.refiner, backbone=backbone, prompts=build(cfg.prompts))
    samples = Samples(Davis585(str(make_davis585(tmp_path / "davis585", sequences=1, frames=2))), None, "raise")
    adaption = build(cfg.adaption)
    adaption.attach(backbone)
    parameters = get_adapter_params(backbone.iou_head)
    assert set(parameters) == {"layers.2.lora_a.weight", "layers.2.lora_b.weight"}
    trained = [name for name, parameter in backbone.named_parameters() if parameter.requires_grad]
    assert trained == [f"mask_decoder.iou_prediction_head.{name}" for name in parameters]
    with torch.no_grad():
        parameters["layers.2.lora_b.weight"].normal_(generator=torch.Generator().manual_seed(0))
    found = {}
    for cached, kind in ((True, CachedTargets), (False, PlainTargets)):
        object.__setattr__(adaption, "cached", cached)
        targets = prepare_targets(samples, refiner, adaption, tmp_path / "targets", ["a", "b"])
        assert isinstance(targets, kind)
        predictions, wanted = targets(torch.arange(len(targets)))
        gradients = torch.autograd.grad(ranking_loss(predictions, wanted, 0.5), list(parameters.values()))
        found[cached] = predictions.detach(), wanted, *gradients
    for one, other in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    assert found[True][2].abs().max() > 0
    sample = samples[0]
    embedding = backbone.encode(sample.image)
    frame = Frame(backbone.img_size, backbone.mask_input_size)
    prompts = refiner.prompts.using(adaption.prompts)(sample.masks, embedding, frame)
    predicted = backbone.decode(embedding, prompts).multi_iou
    expected = found[True][0][: len(predicted)]
    expected = expected.sigmoid() if backbone.stretched else expected
    torch.testing.assert_close(predicted, expected, atol=1e-5, rtol=0)
