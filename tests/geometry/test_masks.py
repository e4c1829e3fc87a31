from unittest import mock

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from samref.geometry import masks as masks_module
from samref.geometry.masks import CHAMFER_ERROR, crop_mask, deepest, distance_inside, pair_iou, tight_box, tight_boxes
from tests.strategies import masks


@given(masks())
def test_tight_box_is_min_and_max_of_foreground_coordinates(mask):
    rows, columns = np.nonzero(mask)
    assert tight_box(mask) == (columns.min(), rows.min(), columns.max(), rows.max())


def test_empty_masks_have_no_box():
    assert tight_box(np.zeros((3, 4), dtype=bool)) is None
    assert crop_mask(np.zeros((3, 4), dtype=bool)) is None
    assert tight_boxes(np.zeros((1, 3, 4), dtype=bool)).tolist() == [[-1, -1, -1, -1]]
    assert tight_boxes(np.zeros((0, 3, 4), dtype=bool)).shape == (0, 4)


@given(masks())
def test_distances_on_the_crop_are_those_on_the_whole_image(mask):
    crop = crop_mask(mask)
    window = np.s_[crop.y : crop.y + crop.mask.shape[0], crop.x : crop.x + crop.mask.shape[1]]
    expected = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] if mask.all() else distance_transform_edt(mask)
    np.testing.assert_allclose(distance_inside(crop), expected[window], atol=1e-4)


@settings(max_examples=150, deadline=None)
@given(masks(max_side=90), st.sampled_from([0, 1 << 14]), st.booleans())
def test_the_deepest_pixel_is_the_first_argmax_of_the_exact_distance(mask, rough_from, inverted):
    mask = ~mask if inverted else mask
    if mask.all():
        mask[0, 0] = False
    squared = np.round(distance_transform_edt(mask) ** 2)
    with mock.patch.object(masks_module, "ROUGH_FROM", rough_from):
        row, column, distance = deepest(mask.view(np.uint8))
    assert (row, column) == np.unravel_index(squared.argmax(), mask.shape)
    assert round(distance**2) == squared.max()


def test_the_deepest_of_many_equals_is_the_first():
    mask = np.zeros((300, 400), np.uint8)
    for x in (320, 60):
        for y in (240, 50):
            mask[y - 30 : y + 31, x - 30 : x + 31] = 1
    assert deepest(mask) == (50, 60, 31.0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_chamfer_distances_err_by_no_more_than_is_allowed_for(seed, zeros):
    mask = np.ones((200, 300), np.uint8)
    rng = np.random.default_rng(seed)
    mask[rng.integers(0, 200, zeros), rng.integers(0, 300, zeros)] = 0
    rough = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_5)
    np.testing.assert_allclose(rough, distance_transform_edt(mask), rtol=0.99 * CHAMFER_ERROR)


@given(masks())
def test_the_crop_holds_the_whole_mask(mask):
    crop = crop_mask(mask)
    back = np.zeros_like(mask)
    back[crop.y : crop.y + crop.mask.shape[0], crop.x : crop.x + crop.mask.shape[1]] = crop.mask
    assert (back == mask).all()
    assert crop.area == mask.sum()
    assert crop.in_box.any(axis=1)[[0, -1]].all()
    assert crop.in_box.any(axis=0)[[0, -1]].all()


@given(masks(max_side=12), st.integers(0, 2**32 - 1))
def test_iou_counts_pixels(mask, seed):
    other = np.random.default_rng(seed).random(mask.shape) < 0.5
    both = sum(a and b for a, b in zip(mask.ravel(), other.ravel(), strict=True))
    either = sum(a or b for a, b in zip(mask.ravel(), other.ravel(), strict=True))
    assert pair_iou(mask, other) == both / either


def test_two_empty_masks_agree():
    assert pair_iou(np.zeros((2, 2), dtype=bool), np.zeros((2, 2), dtype=bool)) == 1.0
