from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything.modeling.image_encoder import Attention, ImageEncoderViT
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from samref.backbones.fast import vit
from samref.backbones.fast.modules import import_hq
from samref.backbones.fast.vit import FastViT, appends_positions

CPU = torch.device("cpu")


def random_vit(cls=ImageEncoderViT, **options):
    """Three layers, two of them in windows that do not divide the grid of 10 cells."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = cls(
            img_size=80,
            patch_size=8,
            embed_dim=48,
            depth=3,
            num_heads=3,
            out_chans=16,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            window_size=4,
            global_attn_indexes=(1,),
            **{"use_rel_pos": True, **options},
        )
        # The package starts positions at 0, where they would not be seen.
        for name, parameter in encoder.named_parameters():
            if "pos" in name:
                torch.nn.init.normal_(parameter)
    return encoder.eval().requires_grad_(False)


def pixels(batch=2):
    return torch.randn(batch, 3, 80, 80, generator=torch.Generator().manual_seed(1))


def assert_relatively_close(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.fixture(params=[False, True], ids=["added", "appended"])
def appended(request, monkeypatch):
    """Both ways in which positions go into the attention."""
    monkeypatch.setattr(vit, "appends_positions", lambda *_: request.param)
    return request.param


def fast(encoder):
    return FastViT(encoder, torch.float32, CPU)


@pytest.mark.usefixtures("appended")
@pytest.mark.parametrize("options", [{}, {"use_rel_pos": False}, {"use_abs_pos": False}, {"qkv_bias": False}])
def test_features_are_the_packaged_modules(options):
    encoder = random_vit(**options)
    assert_relatively_close(fast(encoder)(pixels())[0], encoder(pixels()))


@pytest.mark.usefixtures("appended")
def test_early_features_are_those_hq_sam_uses():
    encoder = random_vit(import_hq().modeling.ImageEncoderViT)
    features, early = fast(encoder)(pixels())
    expected, expected_early = encoder(pixels())
    assert_relatively_close(features, expected)
    assert_relatively_close(early, expected_early[0])


def test_positions_matter_here():
    encoder, without = random_vit(), random_vit()
    for block in without.blocks:
        block.attn.use_rel_pos = False
    expected = encoder(pixels())
    assert (fast(without)(pixels())[0] - expected).abs().max() > 0.05 * expected.abs().max()


def random_attention(heads, height, width, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        attention = Attention(4 * heads, heads, use_rel_pos=True, input_size=(height, width)).requires_grad_(False)
        torch.nn.init.normal_(attention.rel_pos_h)
        torch.nn.init.normal_(attention.rel_pos_w)
    return attention


sides = st.integers(1, 7)


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, 4), sides, sides, st.integers(1, 20_000), st.booleans())
def test_any_way_and_budget_of_memory_give_the_same_attention(batch, heads, height, width, budget, appended):
    attention = random_attention(heads, height, width, budget)
    cells = torch.randn(batch, height, width, 4 * heads, generator=torch.Generator().manual_seed(budget))
    found = vit.Attention(attention, appended, budget)(cells)
    torch.testing.assert_close(found, attention(cells), atol=1e-5, rtol=1e-5)


def test_appended_positions_fit_kernels_that_know_no_bias_and_heads_of_one_size():
    attention, cells = random_attention(2, 5, 3, 0), torch.randn(2, 5, 3, 8)
    fused = vit.Attention(attention, True, 1)
    seen, plain = [], F.scaled_dot_product_attention

    def watched(query, key, value, bias=None, **options):
        seen.append((query.shape, key.shape, value.shape, bias))
        return plain(query, key, value, bias, **options)

    with pytest.MonkeyPatch.context() as patch, sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        patch.setattr(F, "scaled_dot_product_attention", watched)
        torch.testing.assert_close(fused(cells), attention(cells), atol=1e-5, rtol=1e-5)
    # 4 numbers of a head, 5 and 3 places filled up to 8 each, and all of it to a multiple of 8.
    assert seen == [(torch.Size([2, 2, 15, 24]),) * 3 + (None,)]


@pytest.mark.parametrize(
    ("dtype", "device", "window", "expected"),
    [
        (torch.float32, "cpu", 0, False),
        (torch.float32, "cuda", 0, False),
        (torch.bfloat16, "cuda", 0, True),
        (torch.float16, "cuda", 14, True),
        (torch.bfloat16, "cpu", 0, True),
        (torch.bfloat16, "cpu", 14, False),
    ],
)
def test_the_faster_way_is_chosen(dtype, device, window, expected):
    assert appends_positions(dtype, torch.device(device), window) == expected


def test_the_positional_terms_of_a_call_stay_within_the_budget(monkeypatch):
    seen, plain = [], vit._attention

    def watched(query, key, value, scale, bias):
        seen.append(bias.numel() * bias.element_size())
        return plain(query, key, value, scale, bias)

    monkeypatch.setattr(vit, "_attention", watched)
    budget = 3 * 10 * 100 * 4  # three rows of 10 queries against 100 keys
    vit.Attention(random_vit().blocks[1].attn, False, budget)(torch.randn(2, 10, 10, 48))
    assert max(seen) == budget
    assert sum(seen) == 2 * 3 * 100 * 100 * 4


def test_weights_are_cast_once_and_norms_stay(monkeypatch):
    encoder = random_vit()
    half = FastViT(encoder, torch.bfloat16, CPU)
    weight = half.blocks[0].attention.qkv.weight
    assert weight.dtype == half.blocks[1].attention.places.dtype == half.neck.mix.weight.dtype == torch.bfloat16
    assert half.blocks[0].mlp_norm.weight.dtype == encoder.blocks[0].attn.qkv.weight.dtype == torch.float32
    exact = fast(encoder)
    assert exact.blocks[0].attention.qkv.weight.data_ptr() == encoder.blocks[0].attn.qkv.weight.data_ptr()
    casts, to = [], torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *where: casts.append(self.shape) or to(self, *where))
    found = half(pixels())[0]
    assert weight.shape not in casts
    assert found.dtype == torch.float32
    assert_relatively_close(found, encoder(pixels()), 3e-2)


def test_half_precision_is_what_autocast_computes():
    encoder, exact = random_vit(), random_vit()(pixels())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = encoder(pixels()).float()
    found = FastViT(encoder, torch.bfloat16, CPU)(pixels())[0]
    assert (found - exact).abs().mean() <= 1.1 * (rounded - exact).abs().mean()
