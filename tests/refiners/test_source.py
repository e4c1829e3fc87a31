import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samref.refiners.source import (
    AUTO,
    BOXES,
    GOOD,
    NETWORK,
    POLYGONS,
    SUPERPIXELS,
    Evidence,
    estimate,
    is_box_like,
)

# Typical numbers of each kind of coarse masks: share of supported masks, distance in px, overlap.
TYPICAL = {
    POLYGONS: (0.95, 6.0, 0.7),
    NETWORK: (0.5, 1.0, 0.91),
    SUPERPIXELS: (0.5, 1.0, 0.72),
    GOOD: (0.2, 1.0, 0.86),
}


def evidence(support, distance, overlap, count=20):
    return [Evidence(False, k < support * count, distance, overlap) for k in range(count)]


def drawn(shape):
    mask = np.zeros((90, 120), np.uint8)
    if shape == "box":
        mask[20:60, 30:90] = 1
    elif shape == "ellipse":
        cv2.ellipse(mask, (60, 45), (40, 22), 30, 0, 360, 1, -1)
    elif shape == "triangle":
        cv2.fillPoly(mask, [np.array([[20, 70], [60, 10], [100, 70]])], 1)
    elif shape == "cross":
        mask[40:50, 20:100] = mask[10:80, 55:65] = 1
    return mask > 0


@pytest.mark.parametrize(
    ("shape", "box_like"), [("box", True), ("ellipse", True), ("triangle", False), ("cross", False)]
)
def test_boxes_and_ellipses_are_recognized(shape, box_like):
    assert is_box_like(drawn(shape)) == box_like


def test_an_empty_mask_is_no_box_and_one_pixel_is():
    assert not is_box_like(np.zeros((4, 4), dtype=bool))
    assert is_box_like(np.eye(1, dtype=bool))


@pytest.mark.parametrize("source", TYPICAL)
def test_the_source_follows_from_the_evidence(source):
    assert estimate(evidence(*TYPICAL[source])).source == source


def test_masks_that_are_mostly_box_like_are_boxes():
    found = estimate([Evidence(True, True, 30.0, 0.4)] * 6 + evidence(0.5, 1.0, 0.9, 5))
    assert found.source == BOXES
    assert found.box_like == pytest.approx(6 / 11)


def test_masks_that_agree_with_their_refinement_are_good():
    assert estimate([Evidence(False, None, 0.0, 1.0)] * 8).source == GOOD


def test_few_masks_tell_no_source():
    found = estimate(evidence(0.95, 6.0, 0.7, 4))
    assert found.source == AUTO
    assert "too few" in found.sentence()


@given(st.permutations(range(20)), st.sampled_from(sorted(TYPICAL)))
def test_the_order_of_the_evidence_does_not_matter(order, source):
    given_ = evidence(*TYPICAL[source])
    assert estimate([given_[k] for k in order]) == estimate(given_)
