from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from samref.geometry.frames import resized_size, upsample_logits
from samref.geometry.masks import pair_iou
from samref.refiners import candidates as candidates_module
from samref.refiners.candidates import candidate_iou, candidate_masks, cut_mask, full_logits, pick
from samref.structures import Candidates, Embedding

IMG_SIZE, GRID = 64, 16
# Two ways of rounding the same sum differ by no more than this, for logits of a few units.
ROUNDING = 1e-5

sizes = st.tuples(st.integers(1, 150), st.integers(1, 150))


def an_embedding(size):
    return Embedding(torch.zeros(1, 1, 4, 4), size, resized_size(size, IMG_SIZE))


def blobs(seed, *shape, level=0.0):
    noise = np.random.default_rng(seed).standard_normal((*shape, GRID, GRID))
    smooth = gaussian_filter(noise, (0,) * len(shape) + (2, 2))
    # The filter leaves a deviation of about 0.14.
    return torch.from_numpy((7 * smooth - level).astype(np.float32))


def plain_logits(logits, embedding):
    """segment-anything's two interpolations of the whole frame."""
    return upsample_logits(logits[None, None], embedding.input_size, embedding.original_size, IMG_SIZE)[0, 0].numpy()


@settings(max_examples=120, deadline=None)
@given(sizes, st.integers(0, 2**32 - 1), st.floats(-1, 3), st.sampled_from([1, 40, 1 << 20]))
def test_a_cut_mask_is_the_plain_one(size, seed, level, strip):
    embedding, logits = an_embedding(size), blobs(seed, level=level)
    expected = plain_logits(logits, embedding)
    mask = np.ones(size, bool)
    with mock.patch.object(candidates_module, "STRIP", strip):
        cut_mask(logits, embedding, IMG_SIZE).paste(mask)
        np.testing.assert_allclose(full_logits(logits, embedding, IMG_SIZE), expected, atol=ROUNDING)
        assert (mask == (full_logits(logits, embedding, IMG_SIZE) > 0)).all()
    decided = np.abs(expected) > ROUNDING
    assert (mask == (expected > 0))[decided].all()


@given(sizes)
def test_without_positive_logits_the_mask_is_empty(size):
    cut = cut_mask(torch.full((GRID, GRID), -1.0), an_embedding(size), IMG_SIZE)
    assert cut.mask.size == 0
    mask = np.ones(size, bool)
    cut.paste(mask)
    assert not mask.any()


def test_what_lies_under_the_padding_does_not_matter():
    embedding = an_embedding((30, 60))
    logits = torch.full((GRID, GRID), -1.0)
    logits[10:] = 5.0
    assert cut_mask(logits, embedding, IMG_SIZE).mask.size == 0


def test_only_the_masks_own_box_is_resampled():
    logits = torch.full((GRID, GRID), -10.0)
    logits[4, 5] = 10.0
    cut = cut_mask(logits, an_embedding((640, 640)), IMG_SIZE)
    assert cut.mask.any()
    assert cut.mask.size < 640 * 640 / 25


@settings(max_examples=30, deadline=None)
@given(sizes, st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_candidates_are_rated_by_their_masks(size, seed, count):
    embedding = an_embedding(size)
    logits = blobs(seed, count, 4, level=0.5)
    candidates = Candidates(logits, torch.zeros(count, 4), torch.zeros(count, 2))
    reference = np.random.default_rng(seed).random((count, *size)) < 0.3
    ious = candidate_iou(candidates, embedding, IMG_SIZE, reference)
    assert ious.shape == (count, 3)
    for row in range(count):
        masks = candidate_masks(candidates, row, embedding, IMG_SIZE)
        assert ious[row].tolist() == [pair_iou(mask, reference[row]) for mask in masks]


def test_minus_one_picks_the_single_mask():
    logits = torch.arange(8.0).view(2, 4, 1, 1)
    candidates = Candidates(logits, torch.zeros(2, 4), torch.zeros(2, 2))
    assert pick(candidates, np.array([-1, 2])).flatten().tolist() == [0, 7]


@pytest.mark.parametrize("size", [(480, 854), (1500, 1100)])
def test_memory_is_that_of_the_mask(size):
    import tracemalloc

    logits, embedding = blobs(0, level=-5), an_embedding(size)
    cut_mask(logits, embedding, IMG_SIZE)
    tracemalloc.start()
    cut_mask(logits, embedding, IMG_SIZE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size[0] * size[1] + 3 * 4 * candidates_module.STRIP
