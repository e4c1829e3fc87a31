import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from samref.errors import InputError
from samref.metrics.overlap import (
    Overlap,
    boundary_iou,
    boundary_region,
    boundary_width,
    intersection_union,
    overlap_per_mask,
)


def shapes(largest=24):
    return st.tuples(st.integers(1, 4), st.integers(1, largest), st.integers(1, largest))


@st.composite
def mask_pairs(draw):
    shape = draw(shapes())
    return draw(arrays(bool, shape)), draw(arrays(bool, shape))


def naive_boundary(mask):
    """d literal 3x3 erosions, one pixel at a time, with the outside of the image as background."""
    height, width = mask.shape
    d = max(1, round(0.02 * (height**2 + width**2) ** 0.5))
    inner = mask
    for _ in range(d):
        padded = np.pad(inner, 1)
        inner = np.array([[padded[y : y + 3, x : x + 3].all() for x in range(width)] for y in range(height)])
    return mask & ~inner


def test_boundary_width_is_two_percent_of_the_diagonal_and_at_least_one():
    assert boundary_width((3, 4)) == 1
    assert boundary_width((300, 400)) == 10
    assert boundary_width((480, 854)) == 20


@settings(max_examples=30, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 80))))
def test_boundary_region_is_what_repeated_erosion_leaves(mask):
    assert np.array_equal(boundary_region(mask), naive_boundary(mask))


@pytest.mark.parametrize("place", [(0, 0), (3, 20), (40, 70), (55, 0)])
def test_boundary_region_of_a_wide_band_near_every_border(place):
    mask = np.zeros((120, 160), bool)  # diagonal 200, d = 4
    y, x = place
    mask[y : y + 65, x : x + 90] = True
    padded = np.pad(mask, 1).astype(np.uint8)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=4)[1:-1, 1:-1]
    assert np.array_equal(boundary_region(mask), mask & (inner == 0))


@settings(max_examples=50, deadline=None)
@given(mask_pairs())
def test_counts_equal_counting_pixels(pair):
    masks, truth = pair
    counts = overlap_per_mask(masks, truth)
    for i, (a, b) in enumerate(zip(masks, truth, strict=True)):
        assert counts["intersection"][i] == (a & b).sum()
        assert counts["union"][i] == (a | b).sum()
        rim_a, rim_b = boundary_region(a), boundary_region(b)
        assert counts["boundary_intersection"][i] == (rim_a & rim_b).sum()
        assert counts["boundary_union"][i] == (rim_a | rim_b).sum()
    intersection, union = intersection_union(masks, truth)
    assert np.array_equal(intersection, counts["intersection"])
    assert np.array_equal(union, counts["union"])


@settings(max_examples=30, deadline=None)
@given(mask_pairs())
def test_overlap_is_symmetric_bounded_and_one_for_equal_masks(pair):
    masks, truth = pair
    forth, back = overlap_per_mask(masks, truth), overlap_per_mask(truth, masks)
    for key in ("iou", "boundary_iou"):
        assert np.array_equal(forth[key], back[key])
        assert ((forth[key] >= 0) & (forth[key] <= 1)).all()
        assert (overlap_per_mask(masks, masks)[key] == 1).all()
    assert np.array_equal(boundary_iou(masks, truth), forth["boundary_iou"])


def two_pairs():
    """IoU 2/6 and 9/9: over the data set 11/15, mean 2/3."""
    masks, truth = np.zeros((2, 2, 10, 10), bool)
    masks[0, 0, 0:4] = True
    truth[0, 0, 2:6] = True
    masks[1, 3:6, 3:6] = truth[1, 3:6, 3:6] = True
    return masks, truth


def test_overlap_of_a_case_solved_by_hand():
    metric = Overlap()
    metric.update(*two_pairs())
    result = metric.compute()
    assert result["iou"] == 11 / 15
    assert result["iou_mean"] == pytest.approx(2 / 3, abs=1e-9)
    # d = 1: the line is all boundary (2/6), the 3x3 square loses its center (8/8).
    assert result["boundary_iou"] == 10 / 14


def test_counts_torch_and_single_masks_update_alike():
    masks, truth = two_pairs()
    whole, single, tensors, counted = Overlap(), Overlap(), Overlap(), Overlap()
    whole.update(masks, truth)
    for mask, target in zip(masks, truth, strict=True):
        single.update(mask[None], target[None])
    tensors.update(torch.from_numpy(masks), torch.from_numpy(truth))
    counted.update(counts=overlap_per_mask(masks, truth))
    assert whole.compute() == single.compute() == tensors.compute() == counted.compute()


def test_two_empty_masks_agree():
    empty = np.zeros((1, 4, 4), bool)
    metric = Overlap()
    metric.update(empty, empty)
    assert metric.compute() == {"iou": 1.0, "iou_mean": 1.0, "boundary_iou": 1.0}
    full = np.ones((1, 4, 4), bool)
    metric.update(full, empty)
    assert metric.compute() == {"iou": 0.0, "iou_mean": 0.5, "boundary_iou": 0.0}


def test_no_masks_give_nan_and_an_image_without_masks_changes_nothing():
    metric = Overlap()
    metric.update(np.zeros((0, 5, 5), bool), np.zeros((0, 5, 5), bool))
    assert all(np.isnan(value) for value in metric.compute().values())


def test_sums_beyond_float32_stay_exact():
    metric = Overlap()
    ones = np.array([1], dtype=np.int64)
    big = np.array([2**24], dtype=np.int64)
    for area in (big, ones):
        metric.update(
            counts={
                "intersection": area,
                "union": area * 2,
                "boundary_intersection": area,
                "boundary_union": area * 2,
                "iou": np.array([0.5]),
                "boundary_iou": np.array([0.5]),
            }
        )
    assert int(metric.intersection) == 2**24 + 1
    assert metric.compute() == {"iou": 0.5, "iou_mean": 0.5, "boundary_iou": 0.5}


@pytest.mark.parametrize(
    ("masks", "truth"),
    [
        (np.zeros((1, 4, 4), bool), np.zeros((1, 4, 5), bool)),
        (np.zeros((4, 4), bool), np.zeros((4, 4), bool)),
        (np.zeros((1, 4, 4), np.uint8), np.zeros((1, 4, 4), bool)),
    ],
)
def test_what_cannot_be_compared_is_refused(masks, truth):
    with pytest.raises(InputError, match="N x H x W bool"):
        Overlap().update(masks, truth)
    with pytest.raises(InputError, match="neither masks"):
        Overlap().update(masks)
