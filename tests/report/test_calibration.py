import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samref.report.calibration import BINS, calibration, calibration_error, calibration_of, pool

fractions = st.floats(0, 1, width=32)
masks = st.lists(st.tuples(fractions, fractions), max_size=40)


@given(masks)
def test_every_mask_is_in_the_range_of_its_score(pairs):
    found = calibration([score for score, _ in pairs], [iou for _, iou in pairs])
    assert sum(one["masks"] for one in found) == len(pairs)
    for one in found:
        assert one["from"] - 1e-6 <= one["score"] <= one["from"] + 1 / BINS + 1e-6
    for key, column in (("score", 0), ("iou", 1)):
        total = sum(one["masks"] * one[key] for one in found)
        assert total == pytest.approx(sum(pair[column] for pair in pairs), abs=1e-3)


@given(masks, masks)
def test_runs_together_are_one_run_of_all_their_masks(first, second):
    parts = [calibration([score for score, _ in part], [iou for _, iou in part]) for part in (first, second)]
    whole = calibration([score for score, _ in first + second], [iou for _, iou in first + second])
    together = pool(parts)
    assert [(one["from"], one["masks"]) for one in together] == [(one["from"], one["masks"]) for one in whole]
    for one, other in zip(together, whole, strict=True):
        assert one["iou"] == pytest.approx(other["iou"], abs=1e-5)


def test_the_error_of_a_case_solved_by_hand():
    # Three masks at 0.95 with an IoU of 0.85, one at 0.15 with 0.55: (3 * 0.1 + 1 * 0.4) / 4.
    assert calibration_error(calibration([0.95, 0.95, 0.95, 0.15], [0.85, 0.85, 0.85, 0.55])) == pytest.approx(0.175)
    assert np.isnan(calibration_error([]))


def test_masks_without_ground_truth_are_left_out():
    assert [one["masks"] for one in calibration([0.1, 0.9], [np.nan, 0.5])] == [1]


def test_rows_without_a_score_or_ground_truth_are_left_out():
    rows = [{"score": 0.5, "refined_iou": 0.7}, {"score": None, "refined_iou": 0.7}, {"score": 0.5}, {}]
    assert calibration_of(rows) == calibration([0.5], [0.7])
    assert calibration_of(rows[1:]) is None
