import sys

import numpy as np
import pytest
from scipy.special import expit, softmax

from samref.errors import ConfigError
from samref.refiners.dense_crf import DenseCrf
from samref.structures import EMPTY, FALLBACK, REFINED, Sample
from tests.factories import blob, photo, rough

# Marked, not left out silently: the package's generated code compiles up to Python 3.12.
pytestmark = pytest.mark.skipif(sys.version_info >= (3, 13), reason="pydensecrf2 1.1 does not compile on Python 3.13")

USUAL = {
    "confidence": 0.7,
    "iterations": 5,
    "gaussian_sxy": 3,
    "gaussian_compat": 3,
    "bilateral_sxy": 80,
    "bilateral_srgb": 13,
    "bilateral_compat": 10,
}


def exact_log_odds(image, mask, options):
    """Mean field with every pair of pixels summed up, where the package approximates on a lattice."""
    height, width = mask.shape
    y, x = np.mgrid[:height, :width]
    place = np.stack([x.ravel(), y.ravel()], axis=1).astype(float)
    color = image.reshape(-1, 3).astype(float)

    def kernel(features, weight):
        distance = ((features[:, None] - features[None]) ** 2).sum(axis=-1)
        values = np.exp(-distance / 2)
        norm = 1 / np.sqrt(values.sum(axis=1))
        return weight * norm[:, None] * values * norm

    near = kernel(place / options["gaussian_sxy"], options["gaussian_compat"])
    alike = np.hstack([place / options["bilateral_sxy"], color / options["bilateral_srgb"]])
    pairwise = near + kernel(alike, options["bilateral_compat"])
    right = np.stack([~mask.ravel(), mask.ravel()], axis=1)
    log_unary = np.where(right, np.log(options["confidence"]), np.log(1 - options["confidence"]))
    marginals = softmax(log_unary, axis=1)
    for _ in range(options["iterations"]):
        marginals = softmax(log_unary + pairwise @ marginals, axis=1)
    return (np.log(marginals[:, 1]) - np.log(marginals[:, 0])).reshape(mask.shape)


def sample_of(image, *masks):
    return Sample(image, np.array(masks), "image", tuple(range(len(masks))))


@pytest.mark.parametrize("seed", [3, 4, 5])
@pytest.mark.parametrize(("iterations", "confidence"), [(1, 0.7), (5, 0.9)])
def test_it_is_mean_field_of_the_energy_it_names(seed, iterations, confidence):
    options = {**USUAL, "iterations": iterations, "confidence": confidence, "bilateral_compat": 3}
    image, mask = photo((24, 32), seed), rough(blob((24, 32), seed), seed)
    result = DenseCrf(**options).refine_sample(sample_of(image, mask), keep_logits=True)
    expected = exact_log_odds(image, mask, options)
    probability, expected_probability = expit(result.logits[0]), expit(expected)
    unary = np.where(mask, confidence, 1 - confidence)
    assert np.abs(expected_probability - unary).mean() > 0.05
    assert np.abs(probability - expected_probability).mean() < 0.01
    assert ((expected > 0) == result.masks[0]).mean() > 0.99


def test_a_mask_that_spills_over_a_color_edge_is_drawn_back_to_it():
    image = np.full((40, 60, 3), (200, 30, 30), dtype=np.uint8)
    image[:, 30:] = (30, 30, 200)
    truth = np.zeros((40, 60), bool)
    truth[:, :30] = True
    coarse = truth.copy()
    coarse[10:20, 30:34] = True
    coarse[25:32, 25:30] = False
    result = DenseCrf(**USUAL).refine_sample(sample_of(image, coarse))
    assert result.flags == (REFINED,)
    assert (result.masks[0] == truth).all()


def test_masks_of_one_image_do_not_touch_each_other():
    image = photo((40, 56), 1)
    masks = [blob((40, 56), seed) for seed in (1, 2, 3)]
    crf = DenseCrf(**USUAL)
    together = crf.refine_sample(sample_of(image, *masks), keep_logits=True)
    for row, mask in enumerate(masks):
        alone = crf.refine_sample(sample_of(image, mask), keep_logits=True)
        assert (alone.logits[0] == together.logits[row]).all()
        assert (alone.masks[0] == together.masks[row]).all()


def test_an_empty_mask_stays_empty_and_one_that_vanishes_falls_back():
    image = np.full((32, 32, 3), 128, dtype=np.uint8)
    speck = np.zeros((32, 32), bool)
    speck[5, 5] = True
    result = DenseCrf(**USUAL).refine_sample(sample_of(image, np.zeros_like(speck), speck), keep_logits=True)
    assert result.flags == (EMPTY, FALLBACK)
    assert not result.masks[0].any()
    assert (result.masks[1] == speck).all()
    assert np.isneginf(result.logits[0]).all()
    assert result.candidate_iou is None


def test_images_that_cannot_be_written_to_are_read():
    image = photo((24, 32), 0)
    image.flags.writeable = False
    mask = blob((24, 32), 0)
    assert DenseCrf(**USUAL).refine_sample(sample_of(image, mask)).masks.shape == (1, 24, 32)
    assert DenseCrf(**USUAL).refine_sample(sample_of(image[:, ::-1], mask)).masks.shape == (1, 24, 32)


def test_time_is_split_into_the_images_part_and_the_masks():
    timing = DenseCrf(**USUAL).refine_sample(sample_of(photo((24, 32), 0), blob((24, 32), 0))).timing
    assert timing["encode"] > 0
    assert timing["decode"] > 0
    assert timing["excavate"] == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"confidence": 0.5}, "confidence is 0.5; expected a probability above 0.5"),
        ({"confidence": 1}, "confidence is 1"),
        ({"iterations": 0}, "iterations is 0; expected at least 1"),
        ({"bilateral_srgb": 0}, "color kernel is 0; expected more than 0"),
    ],
)
def test_values_out_of_range_are_named(option, message):
    with pytest.raises(ConfigError, match=message):
        DenseCrf(**{**USUAL, **option})


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    with pytest.raises(ConfigError, match=r"pip install 'samref\[crf\]'"):
        DenseCrf(**USUAL)
