import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from samref.errors import ConfigError
from samref.geometry.masks import crop_mask, outermost
from samref.prompts.points import STRATEGIES, PointPrompt, mine_points
from tests.strategies import masks


def mine(mask, strategy="distance_guided", negative=True, seed=0):
    crop = crop_mask(mask)
    coords, labels = mine_points([crop], PointPrompt(strategy, negative, seed))
    return coords[0], labels[0]


@given(masks())
def test_positive_point_is_the_first_argmax_of_the_distance_to_the_background(mask):
    distance = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] if mask.all() else distance_transform_edt(mask)
    y, x = np.unravel_index(np.round(distance**2).argmax(), mask.shape)
    assert crop_mask(mask).innermost == (x, y)


@given(masks())
def test_negative_point_is_the_first_argmax_inside_the_box_of_the_distance_to_the_foreground(mask):
    crop = crop_mask(mask)
    x0, y0, x1, y1 = crop.box
    distance = distance_transform_edt(~mask)[y0 : y1 + 1, x0 : x1 + 1]
    y, x = np.unravel_index(np.round(distance**2).argmax(), distance.shape)
    assert outermost(crop) == ((x0 + x, y0 + y) if distance.any() else None)


def test_pixels_outside_the_image_are_not_background():
    mask = np.zeros((5, 9), dtype=bool)
    mask[:, :6] = True
    assert mine(mask)[0][0].tolist() == [0, 0]


def test_a_ring_gets_its_negative_point_in_the_hole():
    mask = np.ones((9, 9), dtype=bool)
    mask[2:7, 2:7] = False
    coords, labels = mine(mask)
    assert labels.tolist() == [1, 0]
    assert coords[1].tolist() == [4, 4]


def test_a_full_box_has_a_padded_negative_point():
    mask = np.zeros((6, 6), dtype=bool)
    mask[1:4, 2:5] = True
    coords, labels = mine(mask)
    assert labels.tolist() == [1, -1]
    assert coords[0].tolist() == [3, 2]


@given(masks(), st.sampled_from(sorted(STRATEGIES)), st.booleans(), st.integers(0, 5))
def test_points_lie_in_the_image_and_have_the_promised_label(mask, strategy, negative, seed):
    coords, labels = mine(mask, strategy, negative, seed)
    height, width = mask.shape
    assert len(labels) == (2 if negative else 1)
    for (x, y), label in zip(coords, labels, strict=True):
        assert 0 <= x < width
        assert 0 <= y < height
        if label == 0 or (label == 1 and strategy != "box_center"):
            assert mask[int(y), int(x)] == label


@given(masks(), st.integers(0, 3))
def test_random_points_depend_on_the_mask_and_the_seed_alone(mask, seed):
    crop, other = crop_mask(mask), crop_mask(np.ones((3, 3), dtype=bool))
    prompt = PointPrompt("random", False, seed)
    alone, _ = mine_points([crop], prompt)
    together, _ = mine_points([other, crop], prompt)
    assert (alone[0] == together[1]).all()


def test_random_points_are_spread_over_the_foreground():
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:6, 3:7] = True
    seen = {tuple(mine(mask, "random", False, seed)[0][0]) for seed in range(400)}
    assert len(seen) == 16


def test_box_center_is_the_middle_of_the_box_even_in_a_hole():
    mask = np.ones((7, 7), dtype=bool)
    mask[3, 3] = False
    assert mine(mask, "box_center", False)[0].tolist() == [[3, 3]]


def test_an_unknown_strategy_names_the_known_ones():
    with pytest.raises(ConfigError, match="'middle'; expected one of distance_guided, box_center, random"):
        PointPrompt("middle", True)
