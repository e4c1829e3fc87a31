import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from samref.errors import InputError
from samref.metrics.selection_accuracy import SelectionAccuracy, selection_correct


def test_a_case_solved_by_hand_with_ties_to_the_first():
    predicted = np.array([[0.9, 0.5, 0.1], [0.2, 0.7, 0.7], [0.3, 0.2, 0.1], [0.5, 0.5, 0.5]])
    actual = np.array([[0.8, 0.1, 0.0], [0.1, 0.6, 0.6], [0.1, 0.2, 0.3], [0.4, 0.5, 0.1]])
    assert selection_correct(predicted, actual).tolist() == [True, True, False, False]
    metric = SelectionAccuracy()
    metric.update(predicted[:1], actual[:1])
    metric.update(torch.from_numpy(predicted[1:]), torch.from_numpy(actual[1:]))
    assert metric.compute() == {"top1_acc": 0.5}


@settings(max_examples=30, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(1, 8), st.just(3)), elements=st.floats(0, 1, width=32)))
def test_a_perfect_head_is_always_right_whatever_its_scale(actual):
    metric = SelectionAccuracy()
    metric.update(actual * 0.5, actual)
    assert metric.compute() == {"top1_acc": 1.0}


def test_nothing_seen_is_nan_and_shapes_must_agree():
    metric = SelectionAccuracy()
    metric.update(np.zeros((0, 3)), np.zeros((0, 3)))
    assert math.isnan(metric.compute()["top1_acc"])
    with pytest.raises(InputError, match=r"\(2, 3\)"):
        metric.update(np.zeros((2, 3)), np.zeros((2, 4)))
