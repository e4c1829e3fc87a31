import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samref.refiners.vote import fuse, pairwise_iou

SEEDS = st.integers(0, 2**32 - 1)


def candidates(seed, count=6, side=12):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 6, (count, side, side)).astype(np.float32), rng.uniform(0, 1, count).astype(np.float32)


def test_iou_of_every_two_masks_by_hand():
    masks = np.zeros((3, 1, 4), dtype=bool)
    masks[0, 0, :2], masks[1, 0, 1:3] = True, True
    assert pairwise_iou(masks) == pytest.approx(np.array([[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 0]]))


@given(SEEDS)
def test_the_order_of_candidates_does_not_matter(seed):
    logits, predicted = candidates(seed)
    order = np.random.default_rng(seed + 1).permutation(len(logits))
    one, other = fuse(logits, predicted, (12, 12)), fuse(logits[order], predicted[order], (12, 12))
    assert other.logits == pytest.approx(one.logits, abs=1e-5)
    assert other.scores == pytest.approx(one.scores[order], abs=1e-6)


@given(SEEDS)
def test_equal_candidates_vote_for_themselves(seed):
    logits, predicted = candidates(seed, count=1)
    vote = fuse(np.repeat(logits, 5, axis=0), np.repeat(predicted, 5), (12, 12))
    assert ((vote.logits > 0) == (logits[0] > 0)).all()
    assert vote.agreement == pytest.approx(1, abs=1e-6)


@given(SEEDS)
def test_flipped_candidates_give_the_flipped_vote(seed):
    logits, predicted = candidates(seed)
    one, other = fuse(logits, predicted, (12, 12)), fuse(logits[:, :, ::-1].copy(), predicted, (12, 12))
    assert other.logits == pytest.approx(one.logits[:, ::-1], abs=1e-6)


def test_an_outlier_is_outvoted_and_padding_takes_no_part():
    logits = np.full((4, 8, 8), -5, np.float32)
    logits[:3, 2:6, 2:6] = 5
    logits[3, 0:2, 0:2] = 5
    vote = fuse(logits, np.full(4, 0.9, np.float32), (8, 8))
    assert ((vote.logits > 0) == (logits[0] > 0)).all()
    padded = logits.copy()
    padded[3, :, 7] = 50
    assert fuse(padded, np.full(4, 0.9, np.float32), (8, 7)).scores == pytest.approx(vote.scores)


def test_empty_candidates_have_no_weight_and_none_but_empty_ones_give_an_empty_vote():
    logits = np.full((3, 4, 4), -5, np.float32)
    logits[0, 1:3, 1:3] = 5
    vote = fuse(logits, np.array([0.1, 1, 1], np.float32), (4, 4))
    assert vote.weights.tolist() == [1, 0, 0]
    empty = fuse(logits[1:], np.ones(2, np.float32), (4, 4))
    assert not (empty.logits > 0).any()
    assert empty.weights.tolist() == [0.5, 0.5]
