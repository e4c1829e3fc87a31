import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from samref.masks import crop_mask, distance_inside, distance_outside, pair_iou, tight_box, tight_boxes
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
    x0, y0, x1, y1 = crop.box
    outside = distance_transform_edt(~mask)[y0 : y1 + 1, x0 : x1 + 1]
    np.testing.assert_allclose(distance_outside(crop), outside, atol=1e-4)


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
