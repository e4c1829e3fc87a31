import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from samref.errors import InputError
from samref.metrics.scorers import OverlapScorer
from samref.metrics.selection_accuracy import SelectionAccuracy, selection_correct
from samref.refiners.selection import RULES, Scores
from samref.structures import Prompts, Refinement, Sample


def test_a_case_solved_by_hand_with_ties_to_the_first():
    chosen = np.array([0, 1, 0, 0])
    actual = np.array([[0.8, 0.1, 0.0], [0.1, 0.6, 0.6], [0.1, 0.2, 0.3], [0.4, 0.5, 0.1]])
    assert selection_correct(chosen, actual).tolist() == [True, True, False, False]
    metric = SelectionAccuracy()
    metric.update(chosen[:1], actual[:1])
    metric.update(torch.from_numpy(chosen[1:]), torch.from_numpy(actual[1:]))
    assert metric.compute() == {"top1_acc": 0.5}


@settings(max_examples=30, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(1, 8), st.just(3)), elements=st.floats(0, 1, width=32)))
def test_the_oracles_choice_is_always_right(actual):
    metric = SelectionAccuracy()
    metric.update(RULES["oracle"](Scores(actual * 0, truth_iou=actual)), actual)
    assert metric.compute() == {"top1_acc": 1.0}


def test_nothing_seen_is_nan_and_shapes_must_agree():
    metric = SelectionAccuracy()
    metric.update(np.zeros(0), np.zeros((0, 3)))
    assert math.isnan(metric.compute()["top1_acc"])
    with pytest.raises(InputError, match=r"\(2, 3\)"):
        metric.update(np.zeros((2, 3)), np.zeros((2, 4)))


@pytest.mark.parametrize("rule", ["predicted", "coarse", "oracle", "single"])
def test_a_scorer_scores_the_choice_of_the_rule_in_use(rule):
    predicted = np.array([[0.9, 0.8, 0.1], [0.2, 0.3, 0.4], [0.9, 0.1, 0.2]], np.float32)
    coarse = np.array([[0.1, 0.9, 0.0], [0.9, 0.8, 0.7], [0.0, 0.1, 0.2]])
    truth = np.array([[0.2, 0.9, 0.0], [0.1, 0.2, 0.3], [0.1, 0.2, 0.9]])
    chosen = RULES[rule](Scores(predicted, coarse, truth))
    masks = np.ones((3, 4, 4), bool)
    sample = Sample(np.zeros((4, 4, 3), np.uint8), masks, "a", ("1", "2", "3"), truth=masks)
    scorer = OverlapScorer()
    scorer.update(sample, Refinement(masks, chosen, predicted[:, 0], predicted, Prompts(), ("refined",) * 3, truth))
    expected = {"predicted": 1 / 3, "coarse": 2 / 3, "oracle": 1.0, "single": None}[rule]
    assert scorer.compute()["refined"].get("top1_acc") == expected
