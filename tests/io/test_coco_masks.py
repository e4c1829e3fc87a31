import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask
from scipy import ndimage

from samref.errors import InputError
from samref.io.coco_masks import area_and_box, decode, encode_like, encode_polygons, encode_rle
from tests.factories_benchmarks import polygon, rectangle, rle

SIZE = (48, 64)
noise = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20))
blobs = st.builds(
    lambda seed, size: ndimage.gaussian_filter(np.random.default_rng(seed).random(size), 2) > 0.5,
    st.integers(0, 10**6),
    st.tuples(st.integers(5, 60), st.integers(5, 60)),
)
masks = noise | blobs


def uncompressed(mask):
    counts, value, run = [], False, 0
    for pixel in mask.T.ravel():
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    return {"size": list(mask.shape), "counts": [*counts, run]}


@given(masks)
@settings(max_examples=80, deadline=None)
def test_compressed_run_lengths_decode_as_by_pycocotools(mask):
    encoded = rle(mask)
    assert (decode(encoded, mask.shape) == coco_mask.decode(encoded).astype(bool)).all()
    assert encode_rle(mask) == encoded


@given(masks)
@settings(max_examples=40, deadline=None)
def test_every_form_comes_back_as_the_same_mask_in_the_same_form(mask):
    for original in (rle(mask), uncompressed(mask)):
        again = encode_like(mask, original)
        assert again == original
        assert (decode(again, mask.shape) == mask).all()


@given(masks)
@settings(max_examples=80, deadline=None)
def test_polygons_come_back_exactly_or_as_run_lengths_if_there_are_holes(mask):
    again = encode_like(mask, polygon(0, 0, 1, 1))
    assert (decode(again, mask.shape) == mask).all()
    holes = (ndimage.binary_fill_holes(mask, np.ones((3, 3))) != mask).any()
    assert holes or not mask.any() or isinstance(again, list)


def test_polygons_are_lists_that_json_and_pycocotools_take():
    mask = rectangle(5, 5, 20, 30) | rectangle(40, 2, 41, 3)
    polygons = json.loads(json.dumps(encode_polygons(mask)))
    assert len(polygons) == 2
    merged = coco_mask.merge(coco_mask.frPyObjects(polygons, *SIZE))
    assert (coco_mask.decode(merged).astype(bool) == mask).all()


def test_a_hole_makes_run_lengths():
    ring = rectangle(5, 5, 30, 30) & ~rectangle(10, 10, 20, 20)
    assert encode_like(ring, polygon(0, 0, 9, 9)) == encode_rle(ring)


def test_a_polygon_partly_outside_is_clipped():
    assert (decode(polygon(50, 40, 100, 90), SIZE) == rectangle(50, 40, 64, 48)).all()


def test_degenerate_polygons_beside_a_good_one_are_left_out():
    assert (decode([[1, 1, 5, 5], *polygon(2, 3, 9, 9), [4.0]], SIZE) == rectangle(2, 3, 9, 9)).all()


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        (None, "NoneType"),
        ([], "three points"),
        ([[1, 2, 3, 4]], "three points"),
        ([[0, 0, 9, 0, 9, float("nan")]], "coordinates"),
        ([[0, 0, 1e9, 0, 9, 9]], "coordinates"),
        ([[0, 0, "9", 0, 9, 9]], "numbers"),
        (polygon(100, 100, 120, 120), "outside"),
        ({"size": [48, 64]}, "counts"),
        ({"size": [48, 64], "counts": 5}, "counts"),
        ({"size": [64, 48], "counts": [64 * 48]}, "size"),
        ({"size": [48, 64], "counts": [5, 5]}, "add up"),
        ({"size": [48, 64], "counts": [-5, 5 + 48 * 64]}, "add up"),
        ({"size": [48, 64], "counts": ["many"]}, "integers"),
        ({"size": [48, 64], "counts": [[1], [2, 3]]}, "integers"),
        ({"size": [48, 64], "counts": ""}, "cut off"),
        ({"size": [48, 64], "counts": "PPP"}, "cut off"),
        ({"size": [48, 64], "counts": "0\x7f"}, "cut off"),
        ({"size": [48, 64], "counts": "é"}, "alphabet"),
        ({"size": [48, 64], "counts": "PPPPPPPPPP0"}, "32 bits"),
        ({"size": [48, 64], "counts": "00"}, "add up"),
    ],
)
def test_a_broken_segmentation_is_named(segmentation, words):
    with pytest.raises(InputError, match=words):
        decode(segmentation, SIZE)


@given(st.binary(max_size=40), masks)
@settings(max_examples=100, deadline=None)
def test_no_bytes_crash_or_leave_the_image(junk, mask):
    for counts in (junk, junk.decode("latin1"), rle(mask)["counts"] + junk.decode("latin1")):
        with suppress(InputError):
            assert decode({"size": list(mask.shape), "counts": counts}, mask.shape).shape == mask.shape


@given(masks)
@settings(max_examples=40, deadline=None)
def test_area_and_box_are_pycocotools(mask):
    area, box = area_and_box(mask)
    encoded = rle(mask)
    assert area == coco_mask.area(encoded)
    assert box == coco_mask.toBbox(encoded).tolist()
