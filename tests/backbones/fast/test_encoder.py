import copy
import pickle
from functools import partial

import pytest
import torch

from samref.backbones.fast.encoder import Encoder
from samref.backbones.tiny import TinyHqSam, TinySam
from samref.errors import ConfigError
from tests.backbones.prompting import random_image

SIZES = ((61, 97), (80, 30), (128, 128))
IMAGES = [random_image(size, seed) for seed, size in enumerate(SIZES)]


@pytest.fixture
def eager(monkeypatch):
    """`torch.compile` that captures the whole graph and runs it without a compiler; returns what it was given."""
    captured = []
    plain = torch.compile

    def capture(module, **options):
        captured.append(module)
        return plain(module, backend="eager", fullgraph=True, **options)

    monkeypatch.setattr(torch, "compile", capture)
    return captured


@pytest.mark.parametrize("cls", [TinySam, TinyHqSam])
@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 2e-2), ("fp16", 2e-3)])
def test_half_precision_rounds_and_comes_back_in_float32(cls, precision, tolerance):
    exact = cls(device="cpu").encode(IMAGES[0])
    rounded = cls(device="cpu", precision=precision).encode(IMAGES[0])
    for found, expected in zip((rounded.features, *rounded.interm), (exact.features, *exact.interm), strict=True):
        assert found.dtype == torch.float32
        error = (found - expected).abs().max() / expected.abs().max()
        assert 0 < error < tolerance


@pytest.mark.parametrize("cls", [TinySam, TinyHqSam])
def test_a_batch_is_its_images_one_by_one(cls):
    backbone = cls(device="cpu")
    for image, together in zip(IMAGES, backbone.encode_batch(IMAGES), strict=True):
        alone = backbone.encode(image)
        assert (together.original_size, together.input_size) == (alone.original_size, alone.input_size)
        torch.testing.assert_close(together.features, alone.features, atol=1e-5, rtol=0)
        torch.testing.assert_close(together.interm, alone.interm, atol=1e-5, rtol=0)


@pytest.mark.parametrize("cls", [TinySam, TinyHqSam])
def test_a_compiled_encoder_is_the_same_function(cls, eager):
    compiled = cls(device="cpu", compile=True)
    torch.testing.assert_close(
        compiled.encode(IMAGES[0]).features, cls(device="cpu").encode(IMAGES[0]).features, atol=1e-5, rtol=0
    )
    parts = len(eager)
    assert parts > 0
    compiled.encode(IMAGES[1])
    assert len(eager) == parts


def test_tiny_vit_can_be_captured_whole(eager):
    from samref.backbones.fast.modules import mobile_sam_modules

    encoder = mobile_sam_modules().image_encoder.eval()
    pixels = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Encoder(encoder, "fp32", True)(pixels), Encoder(encoder, "fp32", False)(pixels))
    assert len(eager) == 1


def test_a_compiler_that_fails_is_reported_with_the_way_round_it(monkeypatch):
    def broken(graph, inputs):
        raise OSError("no compiler here")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    with pytest.raises(ConfigError, match=r"no compiler here.*backbone\.compile=false"):
        TinySam(device="cpu", compile=True).encode(IMAGES[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int8"}, "precision is 'int8'; expected fp32, bf16, fp16"),
        ({"compile": "yes"}, "compile is 'yes'; expected true or false"),
    ],
)
def test_values_without_meaning_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        TinySam(device="cpu", **options)


def test_embeddings_of_other_arithmetic_are_filed_apart():
    options = ({}, {"precision": "bf16"}, {"precision": "fp16"}, {"compile": True})
    assert len({TinySam(device="cpu", **each).encoder_id for each in options}) == len(options)
    assert TinySam(device="cpu").encoder_id == TinySam(device="cpu", precision="fp32").encoder_id


def test_new_weights_are_seen():
    backbone, other = TinySam(device="cpu"), TinySam(device="cpu", seed=1)
    before = backbone.encode(IMAGES[0]).features
    backbone.load_state_dict(other.state_dict())
    assert torch.equal(backbone.encode(IMAGES[0]).features, other.encode(IMAGES[0]).features)
    assert not torch.equal(backbone.encode(IMAGES[0]).features, before)


def test_the_state_dict_stays_the_packages_after_encoding():
    backbone = TinySam(device="cpu")
    before = list(backbone.state_dict())
    backbone.encode(IMAGES[0])
    assert list(backbone.state_dict()) == before


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda backbone: pickle.loads(pickle.dumps(backbone))])
def test_copies_encode_with_their_own_weights(twin):
    backbone = TinySam(device="cpu")
    expected = backbone.encode(IMAGES[0]).features
    other = twin(backbone)
    torch.nn.init.zeros_(backbone.image_encoder.patch_embed.proj.weight)
    assert torch.equal(other.encode(IMAGES[0]).features, expected)
    assert not torch.equal(backbone.encode(IMAGES[0]).features, expected)


def test_embeddings_may_take_part_in_training():
    features = TinySam(device="cpu").encode(IMAGES[0]).features
    weight = torch.ones(1, requires_grad=True)
    (features * weight).sum().backward()
    torch.testing.assert_close(weight.grad, features.sum()[None])
