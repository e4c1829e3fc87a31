"""Simulated defects: the protocol's interval, zones and seeds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from samref.datasets.defects import Superpixels, simulate_defects, split_zones, stable_seed
from samref.errors import InputError
from tests.factories import blob, photo


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.sampled_from([(120, 160), (90, 200)]))
def test_the_iou_with_the_truth_is_in_the_protocols_interval(seed, size):
    truth, image = blob(size, seed), photo(size, seed)
    coarse = simulate_defects(image, truth, seed)
    assert 0.75 <= iou(coarse, truth) <= 0.85
    assert coarse.dtype == bool
    assert (simulate_defects(image, truth, seed) == coarse).all()


def test_the_input_is_left_alone():
    image, truth = photo((80, 100), 1), blob((80, 100), 1)
    kept = image.copy(), truth.copy()
    simulate_defects(image, truth, 0)
    assert (image == kept[0]).all()
    assert (truth == kept[1]).all()


@pytest.mark.parametrize("shape", [(60, 60), (9, 7), (2, 300)])
def test_odd_masks_give_a_mask_all_the_same(shape):
    image = photo(shape, 0)
    whole, pixel, row = np.ones(shape, bool), np.zeros(shape, bool), np.zeros(shape, bool)
    pixel[shape[0] // 2, shape[1] // 2] = True
    row[-1] = True
    for truth in (whole, pixel, row):
        coarse = simulate_defects(image, truth, 3)
        assert coarse.shape == shape
        assert coarse.any()
    assert not simulate_defects(image, np.zeros(shape, bool), 3).any()


@pytest.mark.parametrize("count", [50, 200, 700])
def test_superpixels_follow_colors_and_are_as_large_as_the_whole_images(count):
    # Two grays side by side, the border off any regular grid.
    crop = np.full((100, 200, 3), 51, np.uint8)
    crop[:, 87:] = 153
    made = Superpixels(crop, image_area=crop.shape[0] * crop.shape[1], object_area=10**6)
    assert not made.at(50, 40, count)[:, 87:].any()
    assert not made.at(50, 150, count)[:, :87].any()
    assert made.at(50, 87, count)[50, 87]
    typical = np.median([made.at(50, column, count).sum() for column in range(5, 200, 10)])
    assert 0.4 * 20000 / count < typical < 2.5 * 20000 / count


def test_faint_colors_count_as_faint_ones():
    # Less than two units of Lab apart, a fifth of the compactness: where the pixels lie decides, not their color.
    crop = np.full((100, 200, 3), 100, np.uint8)
    crop[:, 87:] = 104
    made = Superpixels(crop, image_area=crop.shape[0] * crop.shape[1], object_area=10**6)
    crossing = [made.at(row, 86, 200)[:, 87:].any() for row in range(0, 100, 5)]
    assert np.mean(crossing) > 0.9


def test_no_superpixel_is_much_larger_than_half_of_a_small_object():
    made = Superpixels(photo((60, 60), 0), image_area=10**6, object_area=200)
    assert np.median([made.at(row, row, 50).sum() for row in range(60)]) < 200


def test_a_large_crop_is_divided_at_its_own_size():
    made = Superpixels(photo((700, 900), 0), image_area=700 * 900, object_area=10**6)
    region = made.at(300, 400, 50)
    assert region.shape == (700, 900)
    assert region[300, 400]


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_the_zones_part_the_frame(seed):
    truth = blob((60, 80), seed)
    zones, probabilities = split_zones(truth)
    assert np.allclose(probabilities, [0.65, 0.25, 0.1])
    assert sorted(np.concatenate(zones)) == list(range(truth.size))
    # Three 5x5 erosions or dilations reach six pixels, in the metric of the larger coordinate; beyond the frame nothing
    # is known, so that it eats nothing away.
    inside = ndimage.distance_transform_cdt(np.pad(truth, 7, "edge"), "chessboard")[7:-7, 7:-7]
    outside = ndimage.distance_transform_cdt(~truth, "chessboard")
    assert (zones[1] == np.flatnonzero(inside > 6)).all()
    assert (zones[2] == np.flatnonzero(outside > 6)).all()


def test_zones_without_pixels_are_never_drawn():
    thin = np.zeros((40, 40), bool)
    thin[20, 5:35] = True
    zones, probabilities = split_zones(thin)
    assert len(zones) == 2
    assert np.allclose(probabilities, [0.65 / 0.75, 0.1 / 0.75])


def test_a_truth_of_another_size_is_refused():
    with pytest.raises(InputError, match=r"\(4, 5\), but its image \(5, 4\)"):
        simulate_defects(np.zeros((5, 4, 3), np.uint8), np.zeros((4, 5), bool), 0)


def test_seeds_are_the_same_on_any_machine():
    assert stable_seed("camel/00030", 1, 0) == stable_seed("camel/00030", 1, 0)
    assert stable_seed("camel/00030", 1, 0) == 2780366549881564839
    assert len({stable_seed(a, b, c) for a in "xyz" for b in range(5) for c in range(5)}) == 75
