import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from samref.errors import InputError
from samref.metrics.boundary_accuracy import BoundaryAccuracy, boundary_accuracy, boundary_radii


def disk(radius):
    """Row by row: the half width of an ellipse, rounded to pixels."""
    offsets = []
    for dy in range(-radius, radius + 1):
        half = round(math.sqrt(radius**2 - dy**2))
        offsets += [(dy, dx) for dx in range(-half, half + 1)]
    return offsets


def naive_mba(mask, truth):
    """Over five radii: right pixels among those that see both sides of the truth's boundary within the disk."""
    height, width = truth.shape
    values = []
    for step in range(5):
        radius = 1 + int(((width + height) / 300 - 1) / 5 * step)
        offsets = disk(radius)
        right = total = 0
        for y in range(height):
            for x in range(width):
                seen = {
                    bool(truth[y + dy, x + dx]) for dy, dx in offsets if 0 <= y + dy < height and 0 <= x + dx < width
                }
                if len(seen) == 2:
                    total += 1
                    right += mask[y, x] == truth[y, x]
        values.append(right / total if total else math.nan)
    return sum(values) / 5


def test_radii_run_from_one_toward_a_three_hundredth_of_width_plus_height():
    assert boundary_radii((2000, 1000)) == (1, 2, 4, 6, 8)
    assert boundary_radii((10, 10)) == (1,) * 5


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.just(1), st.integers(2, 12), st.integers(2, 12)).flatmap(
        lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
    )
)
def test_small_masks_equal_a_naive_evaluation(pair):
    masks, truth = pair
    assert boundary_accuracy(masks, truth)[0] == pytest.approx(naive_mba(masks[0], truth[0]), nan_ok=True)


def test_growing_radii_equal_a_naive_evaluation_beside_the_border():
    rng = np.random.default_rng(0)
    truth = np.zeros((1, 14, 1100), bool)  # (w + h) / 300 = 3.7: radii 1 1 2 2 3
    truth[0, 4:, 1060:] = True
    masks = truth ^ (rng.random(truth.shape) < 0.1)
    assert len(set(boundary_radii(truth.shape[1:]))) == 3
    # Far from the truth nothing counts, so the naive loop may look at the end alone, given the whole size.
    wrong_far = masks.copy()
    wrong_far[:, :, :1000] ^= True
    value = boundary_accuracy(masks, truth)[0]
    assert value == boundary_accuracy(wrong_far, truth)[0]
    assert value == pytest.approx(naive_mba(masks[0], truth[0]))


def test_a_case_solved_by_hand():
    truth = np.zeros((1, 6, 6), bool)
    truth[0, :, 3:] = True  # radius 1: the band is columns 2 and 3, 12 px
    masks = truth.copy()
    masks[0, 0, 2] = True
    masks[0, 0, 0] = True  # outside the band
    assert boundary_accuracy(masks, truth)[0] == pytest.approx(11 / 12)


def test_the_metric_is_the_mean_over_masks_and_skips_truth_without_boundary():
    truth = np.zeros((3, 6, 6), bool)
    truth[:2, :, 3:] = True
    masks = truth.copy()
    masks[0, :, 2:4] ^= True
    metric = BoundaryAccuracy()
    assert math.isnan(metric.compute()["mba"])
    metric = BoundaryAccuracy()
    metric.update(torch.from_numpy(masks), torch.from_numpy(truth))
    metric.update(~masks[2:], ~truth[2:])
    assert metric.compute()["mba"] == pytest.approx(0.5)


def test_shapes_must_agree():
    with pytest.raises(InputError, match="N x H x W"):
        boundary_accuracy(np.zeros((1, 2, 2), bool), np.zeros((1, 2, 3), bool))
