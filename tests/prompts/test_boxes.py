import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.plain import cosines, elastic_box
from samref.errors import ConfigError
from samref.geometry.masks import crop_mask
from samref.prompts.boxes import BoxPrompt, FeatureMap, elastic_boxes
from tests.strategies import masks

DEFAULT = {"lam": 0.1, "max_pixels": 10, "steps": 3, "strip": 0.1, "similarity": 0.5}


def cebox(mask, features, prompt):
    crop = crop_mask(mask)
    boxes, moved = elastic_boxes([crop], FeatureMap(features, mask.shape), prompt)
    return tuple(int(v) for v in boxes[0]), bool(moved[0])


def plain_cebox(mask, features, prompt):
    """CEBox with the features really resized to the image; also the cosines, to see which are too close to call."""
    return elastic_box(mask, features, prompt, torch.double), cosines(mask, features, torch.double)


@settings(max_examples=80)
@given(masks(max_side=60, min_side=3), st.integers(0, 2**32 - 1), st.floats(0.05, 0.9), st.integers(1, 4))
def test_no_resized_features_are_needed(mask, seed, lam, steps):
    rng = np.random.default_rng(seed)
    features = (rng.standard_normal((6, rng.integers(1, 7), rng.integers(1, 7))) + 0.7).astype(np.float32)
    prompt = BoxPrompt(**(DEFAULT | {"lam": lam, "steps": steps}))
    expected, cosine = plain_cebox(mask, features, prompt)
    if (np.abs(cosine - prompt.similarity) > 1e-5).all():
        assert cebox(mask, features, prompt) == (expected, expected != crop_mask(mask).box)


@settings(max_examples=40)
@given(masks(max_side=60), st.integers(0, 2**32 - 1))
def test_elastic_boxes_contain_the_tight_box_and_stay_in_the_image(mask, seed):
    features = np.random.default_rng(seed).standard_normal((4, 5, 5)).astype(np.float32)
    (x0, y0, x1, y1), _ = cebox(mask, features, BoxPrompt(**(DEFAULT | {"steps": 8})))
    tx0, ty0, tx1, ty1 = crop_mask(mask).box
    assert 0 <= x0 <= tx0
    assert 0 <= y0 <= ty0
    assert tx1 <= x1 < mask.shape[1]
    assert ty1 <= y1 < mask.shape[0]


def test_the_box_grows_toward_what_resembles_the_object_and_only_there():
    # Left half of the image looks like the object, right half does not.
    features = np.zeros((2, 4, 8), dtype=np.float32)
    features[0, :, :4], features[1, :, 4:] = 1, 1
    mask = np.zeros((40, 80), dtype=bool)
    mask[10:30, 20:40] = True
    box, moved = cebox(mask, features, BoxPrompt(**(DEFAULT | {"steps": 1})))
    assert moved
    assert box[:2] == (18, 8)
    assert box[3] == 31
    # Beyond x = 39 the resized features turn within the 10 px of one cell: cos >= 0.5 holds up to x = 40.
    assert box[2] == 41


def test_a_mask_lost_in_the_feature_grid_uses_the_cell_under_its_point():
    features = np.zeros((2, 2, 2), dtype=np.float32)
    features[0, 0, 0] = features[1, 1, 1] = 1
    mask = np.zeros((20, 20), dtype=bool)
    mask[19, 19] = True
    query = FeatureMap(features, (20, 20)).queries([crop_mask(mask)])
    assert query.tolist() == [[0.0, 1.0]]


def test_memory_never_grows_with_the_resized_features():
    import tracemalloc

    features = np.random.default_rng(0).standard_normal((256, 36, 64)).astype(np.float32)
    mask = np.zeros((2000, 3556), dtype=bool)
    mask[200:1800, 300:3300] = True
    crop = crop_mask(mask)
    tracemalloc.start()
    elastic_boxes([crop], FeatureMap(features, mask.shape), BoxPrompt(**DEFAULT))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6, "H x W x 256 float32 would be 7 GB, and even H x W float32 28 MB"


@pytest.mark.parametrize("options", [{"lam": -0.1}, {"lam": 1.0}, {"max_pixels": 0}, {"steps": -1}, {"product": "sum"}])
def test_values_without_meaning_are_refused(options):
    with pytest.raises(ConfigError, match="expected"):
        BoxPrompt(**(DEFAULT | options))


def test_lambda_zero_is_the_tight_box():
    assert not BoxPrompt(**(DEFAULT | {"lam": 0})).elastic


def test_by_the_dot_product_weak_features_are_not_similar_though_they_point_the_same_way():
    features = np.ones((2, 4, 8), dtype=np.float32)
    features[:, :, 4:] = 0.05
    mask = np.zeros((40, 80), dtype=bool)
    mask[10:30, 20:40] = True
    cosine, _ = cebox(mask, features, BoxPrompt(**(DEFAULT | {"steps": 1})))
    assert cosine == (18, 8, 41, 31)
    # q . F is 2 on the left; between the cells it falls to 0.95 at x = 40.
    for similarity, right in ((0.5, 41), (1.5, 39)):
        prompt = BoxPrompt(**(DEFAULT | {"steps": 1, "product": "dot", "similarity": similarity}))
        assert cebox(mask, features, prompt)[0] == (18, 8, right, 31)
