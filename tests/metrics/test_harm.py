"""Share of masks made worse: by hand, and against a plain count."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from samref.metrics.harm import Harm

FRACTIONS = st.floats(0, 1)


def test_only_a_loss_of_more_than_two_points_counts():
    metric = Harm()
    metric.update(np.array([0.9, 0.9, 0.9, 0.9]), np.array([0.87, 0.89, 0.95, 0.0]))
    assert metric.compute() == {"harm": 0.5}


def test_there_is_none_before_the_first_mask():
    metric = Harm()
    metric.update(np.zeros(0), np.zeros(0))
    assert math.isnan(metric.compute()["harm"])


@given(st.lists(st.lists(st.tuples(FRACTIONS, FRACTIONS), max_size=5), min_size=1, max_size=4))
def test_it_does_not_matter_how_masks_are_spread_over_images(images):
    metric = Harm()
    for pairs in images:
        values = np.array(pairs).reshape(-1, 2)
        metric.update(values[:, 0], values[:, 1])
    everything = [before - after > 0.02 for pairs in images for before, after in pairs]
    if everything:
        assert metric.compute()["harm"] == sum(everything) / len(everything)
