import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from samref.errors import InputError
from samref.metrics.semantic import SemanticIoU, class_iou, confusion_matrix


def test_a_case_solved_by_hand():
    truth = np.array([[0, 0, 0, 1], [1, 2, 2, 255]], np.uint8)
    labels = np.array([[0, 0, 1, 1], [1, 2, 0, 4]], np.uint8)
    # Class 0: 2 of {3 true + 1 false}; class 1: 2 of {2 + 1}; class 2: 1 of 2; 3 and 4 do not occur where truth counts.
    metric = SemanticIoU(num_classes=5)
    metric.update(labels, truth)
    assert metric.compute()["miou"] == pytest.approx((2 / 4 + 2 / 3 + 1 / 2) / 3)


def test_the_matrix_is_over_the_data_set_not_the_mean_of_images():
    truth = np.zeros((1, 4), np.uint8)
    metric = SemanticIoU(num_classes=2)
    metric.update(np.array([[0, 0, 0, 0]]), truth)
    metric.update(torch.tensor([[0, 1, 1, 1]]), torch.from_numpy(truth))
    assert metric.compute()["miou"] == pytest.approx((5 / 8 + 0) / 2)


def test_a_predicted_value_that_is_no_class_misses_the_true_one():
    metric = SemanticIoU(num_classes=2)
    metric.update(np.array([[0, 255]], np.uint8), np.array([[0, 0]], np.uint8))
    assert metric.compute()["miou"] == 0.5


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
        lambda shape: st.tuples(
            arrays(np.int64, shape, elements=st.sampled_from([0, 1, 2, 3, 255])),
            arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 3, 255])),
        )
    )
)
def test_class_iou_equals_counting_sets_of_pixels(pair):
    labels, truth = pair
    ious = class_iou(confusion_matrix(labels, truth, 4))
    valid = truth != 255
    for c in range(4):
        union = ((labels == c) | (truth == c)) & valid
        expected = ((labels == c) & (truth == c) & valid).sum() / union.sum() if union.any() else math.nan
        assert ious[c] == pytest.approx(expected, nan_ok=True)
    perfect = SemanticIoU(num_classes=4)
    perfect.update(truth, truth)
    assert perfect.compute()["miou"] == pytest.approx(1.0 if valid.any() else math.nan, nan_ok=True)


def test_what_cannot_be_compared_is_refused():
    labels = np.zeros((2, 2), np.uint8)
    with pytest.raises(InputError, match=r"\(2, 2\).*\(2, 3\)"):
        confusion_matrix(labels, np.zeros((2, 3), np.uint8), 21)
    with pytest.raises(InputError, match="expected 0 to 20"):
        confusion_matrix(labels, labels + 21, 21)
    with pytest.raises(InputError, match="expected integers"):
        confusion_matrix(labels.astype(float), labels, 21)


def test_nothing_seen_is_nan():
    assert math.isnan(SemanticIoU().compute()["miou"])
