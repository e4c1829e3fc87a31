import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from scipy.ndimage import distance_transform_edt, gaussian_filter, label

from samref.geometry.polygons import bridged, one_ring, outlines, rasterize, shared_out

SIZE = (23, 31)


def smooth_mask(seed, size=SIZE, sigma=2.0):
    """Parts and holes of all sizes, down to single pixels."""
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(size), sigma)
    return noise > np.quantile(noise, 0.6)


any_mask = st.one_of(
    arrays(bool, SIZE, elements=st.booleans()),
    st.builds(smooth_mask, st.integers(0, 10**6), sigma=st.sampled_from([0.5, 1.0, 2.0, 4.0])),
).filter(lambda mask: mask.any())


@settings(max_examples=60, deadline=None)
@given(any_mask)
def test_one_ring_holds_every_mask_with_its_parts_and_holes_pixel_for_pixel(mask):
    ring = one_ring(mask)
    assert (rasterize([ring], SIZE) == mask).all()
    assert ring.min() >= 0 and (ring.max(axis=0) <= SIZE[::-1]).all()


@settings(max_examples=60, deadline=None)
@given(any_mask, st.sampled_from([(1 / 31, 1 / 23), (100 / 31, 100 / 23)]))
def test_one_ring_survives_fractions_and_percents_of_the_sides(mask, scale):
    there_and_back = np.round(one_ring(mask) * scale, 8) / scale
    assert (rasterize([there_and_back], SIZE) == mask).all()


@settings(max_examples=40, deadline=None)
@given(any_mask)
def test_an_outline_for_each_part_and_each_hole(mask):
    # Parts touch by sides, so that holes touch by corners, too.
    holes = label(np.pad(~mask, 1, constant_values=True), structure=np.ones((3, 3)))[1] - 1
    assert len(outlines(mask)) == label(mask)[1] + holes


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 1.0, 2.0]))
def test_a_tolerance_moves_no_outline_by_more_than_it_says(seed, tolerance):
    mask = smooth_mask(seed, (60, 80), 6.0)
    simple, exact = one_ring(mask, tolerance), one_ring(mask)
    assert len(simple) <= len(exact)
    changed = rasterize([simple], mask.shape) != mask
    # Beyond the image is background.
    padded = np.pad(mask, 1)
    to_other_side = np.where(padded, distance_transform_edt(padded), distance_transform_edt(~padded))[1:-1, 1:-1]
    assert (to_other_side[changed] <= tolerance + 1).all()


def test_a_bridge_goes_to_and_fro_at_the_nearest_points():
    big = np.array([[0.0, 0], [4, 0], [4, 4], [2, 5], [0, 4]])
    small = np.array([[6.0, 0], [8, 0], [8, 4], [6, 4]])
    joined = bridged([small, big])
    assert len(joined) == len(big) + len(small) + 2
    steps = {tuple(map(tuple, pair)) for pair in zip(joined.tolist(), np.roll(joined, -1, 0).tolist(), strict=True)}
    assert ((4.0, 0.0), (6.0, 0.0)) in steps and ((6.0, 0.0), (4.0, 0.0)) in steps


def test_rasterizing_is_cocos_and_a_union():
    left, right = np.array([[0.0, 0], [5, 0], [5, 5], [0, 5]]), np.array([[3.0, 0], [9, 0], [9, 5], [3, 5]])
    expected = coco_mask.decode(
        coco_mask.merge(coco_mask.frPyObjects([r.ravel().tolist() for r in (left, right)], 6, 9))
    )
    assert (rasterize([left, right], (6, 9)) == expected.astype(bool)).all()
    assert not rasterize([], (6, 9)).any()


def test_parts_go_to_the_shape_they_meet_and_then_to_the_nearest():
    members = [np.zeros((10, 30), bool) for _ in range(2)]
    members[0][:, :8], members[1][:, 20:] = True, True
    mask = np.zeros((10, 30), bool)
    mask[2:5, 5:12] = mask[7:9, 16:18] = mask[2:4, 25:28] = True
    first, second = shared_out(mask, members)
    assert (first | second == mask).all() and not (first & second).any()
    assert first[3, 6] and second[8, 16] and second[3, 26]


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_given_out_is_all_there_is(count):
    mask = smooth_mask(3)
    members = [smooth_mask(seed) for seed in range(count)]
    shares = shared_out(mask, members)
    assert (np.sum(shares, axis=0) == mask).all() and len(shares) == count
