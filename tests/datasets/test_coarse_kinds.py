"""Kinds of coarse masks: never empty, reproducible, and each what its name says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from samref.datasets.coarse_kinds import KINDS
from samref.geometry.masks import pair_iou, tight_box
from tests.factories import blob, photo
from tests.strategies import masks

CHEAP = sorted(set(KINDS) - {"superpixel"})  # whose own tests are in test_defects.py


def made(kind, truth, seed=0, **strengths):
    return KINDS[kind](np.zeros((*truth.shape, 3), np.uint8), truth, seed, **strengths)


@pytest.mark.parametrize("kind", CHEAP)
@given(truth=masks(), seed=st.integers(0, 2**40))
def test_no_object_vanishes_and_equal_input_gives_equal_masks(kind, truth, seed):
    kept = truth.copy()
    mask = made(kind, truth, seed)
    assert mask.shape == truth.shape
    assert mask.dtype == bool
    assert mask.any()
    assert (made(kind, truth, seed) == mask).all()
    assert (truth == kept).all()
    assert not np.shares_memory(mask, truth)


@given(truth=masks(), pixels=st.integers(0, 9))
def test_dilated_and_eroded_are_euclidean(truth, pixels):
    outside = ndimage.distance_transform_edt(~truth)
    assert (made("dilated", truth, pixels=pixels) == (outside <= pixels)).all()
    if truth.all():
        assert made("eroded", truth, pixels=pixels).all()
        return
    inside = ndimage.distance_transform_edt(truth)
    limit = pixels if inside.max() > pixels else inside.max() / 2
    assert (made("eroded", truth, pixels=pixels) == (inside > limit)).all()


@given(truth=masks())
def test_box_and_ellipse_fill_the_tight_box(truth):
    x0, y0, x1, y1 = tight_box(truth)
    expected = np.zeros_like(truth)
    expected[y0 : y1 + 1, x0 : x1 + 1] = True
    assert (made("box", truth) == expected).all()
    round_ = made("ellipse", truth)
    assert tight_box(round_) == (x0, y0, x1, y1)
    assert not (round_ & ~expected).any()


def test_a_large_ellipse_has_the_area_of_one():
    truth = np.zeros((200, 300), bool)
    truth[20:180, 30:280] = True
    assert made("ellipse", truth).sum() == pytest.approx(np.pi * 80 * 125, rel=0.005)


@given(truth=masks(), seed=st.integers(0, 2**40))
def test_jitter_moves_sides_by_the_seed_within_the_image(truth, seed):
    moved = made("box", truth, seed, jitter=0.3)
    assert moved.any()
    x0, y0, x1, y1 = tight_box(moved)
    assert moved.sum() == (x1 - x0 + 1) * (y1 - y0 + 1)


def test_jitter_differs_between_seeds():
    truth = blob((120, 160), 0)
    assert len({tight_box(made("box", truth, seed, jitter=0.1)) for seed in range(5)}) > 1


def test_polygons_have_few_corners_and_no_holes():
    y, x = np.mgrid[:200, :200]
    ring = (np.hypot(y - 100, x - 100) < 90) & (np.hypot(y - 100, x - 100) > 40)
    polygon = made("polygon", ring)
    assert polygon[100, 100], "a hole is filled"
    disk = np.hypot(y - 100, x - 100) < 90
    ious = [pair_iou(made("polygon", ring, tolerance=t), disk) for t in (0.001, 0.012, 0.05)]
    assert 1 > ious[0] > ious[1] > ious[2] > 0.5


def test_what_lies_on_the_grid_goes_through_it_unchanged():
    checks = np.kron([[1, 0, 1], [0, 0, 1]], np.ones((16, 16))) > 0
    centers = np.s_[8::16, 8::16]
    assert (made("score_map", checks)[centers] == checks[centers]).all()
    box = np.zeros((60, 80), bool)
    box[10:40, 20:70] = True
    assert (made("mask_head", box) == box).all()


@pytest.mark.parametrize(("kind", "fine", "coarse"), [("mask_head", 56, 7), ("score_map", 4, 32)])
def test_a_coarser_grid_loses_more(kind, fine, coarse):
    truth = blob((180, 240), 3)
    name = {"mask_head": "size", "score_map": "stride"}[kind]
    assert pair_iou(made(kind, truth, **{name: fine}), truth) > pair_iou(made(kind, truth, **{name: coarse}), truth)


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_a_mask_head_does_not_leave_the_box(seed):
    truth = blob((90, 120), seed)
    x0, y0, x1, y1 = tight_box(truth)
    outside = made("mask_head", truth)
    outside[y0 : y1 + 1, x0 : x1 + 1] = False
    assert not outside.any()


def test_superpixel_defects_are_those_of_davis585():
    truth, image = blob((120, 160), 1), photo((120, 160), 1)
    assert 0.75 <= pair_iou(KINDS["superpixel"](image, truth, 1), truth) <= 0.85
    assert (made("exact", truth) == truth).all()
