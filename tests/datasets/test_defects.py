"""Simulated defects: the protocol's interval, zones and seeds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.color import rgb2lab

from samref.datasets.defects import simulate_defects, stable_seed, superpixels, zones_of
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
def test_superpixels_follow_colours(count):
    # Grey 0.2 beside grey 0.6, the border off any regular grid: in Lab that is 40 units, four times the compactness.
    image = np.full((100, 200, 3), 51, np.uint8)
    image[:, 87:] = 153
    image[0, 0], image[-1, -1] = 0, 255
    labels = superpixels(rgb2lab(image), count)
    crossing = set(np.unique(labels[5:-5, :87])) & set(np.unique(labels[5:-5, 87:]))
    assert not crossing
    assert count / 3 < labels.max() + 1 <= 1.5 * count


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_the_zones_part_the_frame(seed):
    truth = blob((60, 80), seed)
    zones = zones_of(truth)
    together = np.concatenate(list(zones.values()))
    assert sorted(together) == list(range(truth.size))
    assert truth.ravel()[zones["inner"]].all()
    assert not truth.ravel()[zones["outer"]].any()
    # Three 5x5 erosions or dilations reach six pixels, in the metric of the larger coordinate.
    inside = ndimage.distance_transform_cdt(np.pad(truth, 1), "chessboard")[1:-1, 1:-1]
    outside = ndimage.distance_transform_cdt(~truth, "chessboard")
    assert (np.sort(zones["inner"]) == np.flatnonzero(inside > 6)).all()
    assert (np.sort(zones["outer"]) == np.flatnonzero(outside > 6)).all()


def test_seeds_are_the_same_on_any_machine():
    assert stable_seed("camel/00030", 1, 0) == stable_seed("camel/00030", 1, 0)
    assert stable_seed("camel/00030", 1, 0) == 17489795071981169018
    assert len({stable_seed(a, b, c) for a in "xyz" for b in range(5) for c in range(5)}) == 75
