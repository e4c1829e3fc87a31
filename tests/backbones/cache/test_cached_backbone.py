import copy

import numpy as np
import pytest
import torch

from samref.backbones.backbone import Backbone
from samref.backbones.cache import CachedBackbone, EmbeddingStore
from samref.backbones.tiny import TinyHqSam, TinySam
from samref.errors import InputError
from tests.backbones.prompting import random_image, random_prompts

SIZE = (61, 97)


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(tmp_path, max_gb=1)


@pytest.fixture
def cached(store):
    return CachedBackbone(TinySam(device="cpu"), store, "fp32")


def again(cached, **changes):
    return CachedBackbone(TinySam(**{"device": "cpu", **changes}), cached.store, "fp32")


def counts(cached):
    return cached.hits, cached.misses


@pytest.mark.parametrize("model", [TinySam, TinyHqSam])
def test_an_image_is_encoded_once_by_all_processes(model, store):
    image, backbone = random_image(SIZE), model(device="cpu")
    expected = backbone.encode(image)
    for hit in (False, True):
        cached = CachedBackbone(model(device="cpu"), store, "fp32")
        embedding = cached.encode(image)
        assert counts(cached) == (int(hit), int(not hit))
        assert torch.equal(embedding.features, expected.features)
        assert len(embedding.interm) == len(expected.interm)
        assert all(torch.equal(a, b) for a, b in zip(embedding.interm, expected.interm, strict=True))
        assert (embedding.original_size, embedding.input_size) == (expected.original_size, expected.input_size)


@pytest.mark.parametrize("place", [(0, 0, 0), (60, 96, 2)])
def test_another_image_is_another_entry(cached, place):
    image = random_image(SIZE)
    cached.encode(image)
    other = image.copy()
    other[place] ^= 1
    cached.encode(other)
    cached.encode(np.ascontiguousarray(image.reshape(97, 61, 3)))
    assert counts(cached) == (0, 3)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"img_size": 64}, {"name": "other"}])
def test_another_model_is_another_entry(cached, changes):
    cached.encode(random_image(SIZE))
    other = again(cached, **changes)
    assert torch.equal(other.encode(random_image(SIZE)).features, other.uncached.encode(random_image(SIZE)).features)
    assert counts(other) == (0, 1)


def test_other_preprocessing_is_another_entry(cached, monkeypatch):
    cached.encode(random_image(SIZE))
    monkeypatch.setattr("samref.backbones.sam_backbone.PREPROCESSING", "other")
    other = again(cached)
    other.encode(random_image(SIZE))
    assert counts(other) == (0, 1)


def test_half_precision_rounds_alike_from_the_cache_and_before(store):
    backbone = TinyHqSam(device="cpu")
    image = random_image(SIZE)
    exact = backbone.encode(image)
    full, half = (CachedBackbone(backbone, store, precision) for precision in ("fp32", "fp16"))
    full.encode(image)
    first, second = half.encode(image), half.encode(image)
    assert counts(half) == (1, 1)
    for a, b, c in zip((first.features, *first.interm), (second.features, *second.interm),
                       (exact.features, *exact.interm), strict=True):  # fmt: skip
        assert a.dtype == b.dtype == torch.float32
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
        assert ((a - c).abs() <= c.abs() / 2048 + 3e-8).all()
    sizes = [file.size for file in store.files()]
    assert 1.9 < max(sizes) / min(sizes) < 2.1


@pytest.mark.parametrize("model", [TinySam, TinyHqSam])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_of_a_batch_those_are_encoded_that_the_cache_does_not_have(model, store, precision, monkeypatch):
    cached = CachedBackbone(model(device="cpu"), store, precision)
    images = [random_image(SIZE, seed) for seed in (0, 1, 2, 1)]
    known = cached.encode(images[0])
    batches, encode = [], cached.uncached.encode_batch
    monkeypatch.setattr(cached.uncached, "encode_batch", lambda images: batches.append(len(images)) or encode(images))
    found = cached.encode_batch(images)
    assert batches == [2]
    assert counts(cached) == (1, 3)
    assert torch.equal(found[0].features, known.features)
    for embedding, image in zip(found, images, strict=True):
        expected = cached.encode(image)
        torch.testing.assert_close(embedding.features, expected.features, atol=1e-5, rtol=0)
        torch.testing.assert_close(embedding.interm, expected.interm, atol=1e-5, rtol=0)
    assert torch.equal(found[1].features, found[3].features)
    assert batches == [2]


def test_a_broken_entry_is_rebuilt(cached):
    image = random_image(SIZE)
    expected = cached.encode(image)
    file = cached.store.files()[0].path
    file.write_bytes(file.read_bytes()[:-4] + b"\x00\x00\x80\x3f")
    assert torch.equal(cached.encode(image).features, expected.features)
    assert torch.equal(cached.encode(image).features, expected.features)
    assert counts(cached) == (1, 2)


def test_it_decodes_as_the_backbone(cached):
    image = random_image(SIZE)
    cached.encode(image)
    prompts = random_prompts(2, SIZE, cached.mask_input_size)
    expected = cached.uncached.decode(cached.uncached.encode(image), prompts)
    assert torch.equal(cached.decode(cached.encode(image), prompts).low_res_logits, expected.low_res_logits)


def test_it_is_a_backbone_with_the_backbones_names_and_sizes(cached):
    inner = cached.uncached
    assert isinstance(cached, Backbone)
    for name in (
        "name",
        "weights_sha256",
        "img_size",
        "stretched",
        "embedding_size",
        "mask_input_size",
        "device",
        "encoder_id",
    ):
        assert getattr(cached, name) == getattr(inner, name)
    assert cached.iou_head is inner.iou_head
    assert cached.state_dict().keys() == inner.state_dict().keys()


def test_modes_and_moves_reach_the_backbone(cached):
    cached.train()
    assert not any(module.training for module in cached.uncached.modules())
    cached.to(torch.float64)
    assert {p.dtype for p in cached.uncached.parameters()} == {torch.float64}
    assert cached.uncached.pixel_mean.dtype == torch.float64
    twin = copy.deepcopy(cached)
    assert twin.iou_head is twin.uncached.iou_head is not cached.iou_head


def test_an_adapted_head_changes_no_key(cached):
    cached.encode(random_image(SIZE))
    cached.iou_head.layers[-1] = torch.nn.Linear(32, 4)
    cached.encode(random_image(SIZE))
    assert counts(cached) == (1, 1)
    assert cached.uncached.iou_head.layers[-1] is cached.iou_head.layers[-1]


def test_a_bad_image_is_named_and_not_cached(cached):
    with pytest.raises(InputError, match=r"\(4, 5\)"):
        cached.encode(np.zeros((4, 5), np.uint8))
    with pytest.raises(InputError, match="float32"):
        cached.encode(np.zeros((4, 5, 3), np.float32))
    assert cached.store.files() == []
