import pytest
import torch

from samref.backbones.fast.modules import import_hq
from samref.backbones.fast.tiny_vit import FusedTinyViT, Plan


@pytest.fixture(scope="module")
def encoder():
    """A narrow TinyViT with random statistics; the package fixes its output at 64 x 64 cells, so 1024 px it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        narrow = import_hq().modeling.TinyViT(
            img_size=1024,
            embed_dims=[8, 16, 16, 320],  # 320: by the width of its last stage the package knows not to halve it
            depths=[2, 1, 1, 1],
            num_heads=[1, 2, 2, 5],
            window_sizes=[7, 7, 14, 7],
            drop_path_rate=0.0,
        )
        narrow.head = narrow.norm_head = torch.nn.Identity()
        for module in narrow.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, std=0.3)
                torch.nn.init.normal_(module.running_mean, std=0.3)
                torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
        for name, parameter in narrow.named_parameters():
            if name.endswith("attention_biases"):
                torch.nn.init.normal_(parameter)
    return narrow.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def expected(encoder, pixels):
    features, early = encoder(pixels)
    return features, early[0]


def assert_same(outputs, expected):
    for found, wanted in zip(outputs, expected, strict=True):
        assert found.shape == wanted.shape
        assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_outputs_are_the_packaged_modules(encoder, pixels, expected):
    assert_same(FusedTinyViT(encoder, torch.float32, Plan.of(pixels.device))(pixels), expected)


# 5 * 256 * 32: strips of five rows in the first stage, which 256 rows do not divide into.
@pytest.mark.parametrize("numbers", [1 << 12, 5 * 256 * 32, None])
def test_strips_do_not_show(encoder, pixels, expected, numbers):
    assert_same(FusedTinyViT(encoder, torch.float32, Plan(numbers))(pixels), expected)


def test_images_of_a_batch_do_not_meet(encoder, pixels, expected):
    twice = torch.cat([torch.zeros_like(pixels), pixels])
    assert_same([part[1:] for part in FusedTinyViT(encoder, torch.float32, Plan(1 << 20))(twice)], expected)


def test_rearranging_leaves_the_random_state_and_the_weights_alone(encoder):
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    state = torch.get_rng_state()
    FusedTinyViT(encoder, torch.float32, Plan(None))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in encoder.state_dict().items())


def test_weights_are_cast_once_and_half_precision_is_what_autocast_computes(encoder, pixels, expected):
    half = FusedTinyViT(encoder, torch.bfloat16, Plan.of(pixels.device))
    blocks = half.stages[1]
    assert blocks[0].qkv.weight.dtype == blocks[0].bias.dtype == half.embed[0].weight.dtype == torch.bfloat16
    assert blocks[0].mlp_norm.weight.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        rounded = encoder(pixels)[0].float()
    error = (half(pixels)[0] - expected[0]).abs().mean()
    assert 0 < error <= 1.1 * (rounded - expected[0]).abs().mean()
