from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything.modeling.image_encoder import Attention, ImageEncoderViT

from samref.backbones.fast import vit
from samref.backbones.fast.modules import import_hq
from samref.backbones.fast.vit import FastViT, attend

BUDGET = 1 << 20


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


@pytest.mark.parametrize("options", [{}, {"use_rel_pos": False}, {"use_abs_pos": False}, {"qkv_bias": False}])
def test_features_are_the_packaged_modules(options):
    encoder = random_vit(**options)
    assert_relatively_close(FastViT(encoder, BUDGET)(pixels())[0], encoder(pixels()))


def test_early_features_are_those_hq_sam_uses():
    encoder = random_vit(import_hq().modeling.ImageEncoderViT)
    features, early = FastViT(encoder, BUDGET)(pixels())
    expected, expected_early = encoder(pixels())
    assert_relatively_close(features, expected)
    assert_relatively_close(early, expected_early[0])


def test_positions_matter_here():
    encoder, without = random_vit(), random_vit()
    for block in without.blocks:
        block.attn.use_rel_pos = False
    expected = encoder(pixels())
    assert (FastViT(without, BUDGET)(pixels())[0] - expected).abs().max() > 0.05 * expected.abs().max()


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 7), st.integers(1, 7), st.integers(1, 20_000))
def test_any_budget_of_memory_gives_the_same_attention(batch, heads, height, width, budget):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(budget)
        attention = Attention(4 * heads, heads, use_rel_pos=True, input_size=(height, width)).requires_grad_(False)
        torch.nn.init.normal_(attention.rel_pos_h)
        torch.nn.init.normal_(attention.rel_pos_w)
        cells = torch.randn(batch, height, width, 4 * heads)
    torch.testing.assert_close(attend(attention, cells, budget), attention(cells), atol=1e-5, rtol=1e-5)


def test_the_positional_terms_of_a_call_stay_within_the_budget(monkeypatch):
    attention = random_vit().blocks[1].attn
    seen, plain = [], vit._attention

    def watched(query, key, value, scale, bias):
        seen.append(bias.numel() * bias.element_size())
        return plain(query, key, value, scale, bias)

    monkeypatch.setattr(vit, "_attention", watched)
    budget = 3 * 10 * 100 * 4  # three rows of 10 queries against 100 keys
    attend(attention, torch.randn(2, 10, 10, 48), budget)
    assert max(seen) == budget
    assert sum(seen) == 2 * 3 * 100 * 100 * 4
