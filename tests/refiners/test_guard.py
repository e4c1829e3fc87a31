import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samref import SAMRefiner
from samref.errors import ConfigError
from samref.geometry.masks import pair_iou
from samref.refiners.guard import Guard
from samref.structures import Prompts, Refinement
from tests.strategies import masks

OFF = {"enabled": True, "min_agreement": 0, "min_predicted_iou": 0, "min_trust": 0}


def refinement(refined, predicted, flags, logits=None):
    count = len(refined)
    return Refinement(
        masks=refined.copy(),
        chosen=np.zeros(count, dtype=np.int64),
        predicted_iou=np.array(predicted, dtype=np.float32),
        iou_predictions=np.zeros((count, 3), dtype=np.float32),
        prompts=Prompts(),
        flags=tuple(flags),
        logits=logits,
    )


def square(x, side=10):
    mask = np.zeros((20, 40), dtype=bool)
    mask[5:15, x : x + side] = True
    return mask


@pytest.mark.parametrize(
    ("thresholds", "shift", "predicted", "kept"),
    [
        ({}, 30, 0.1, False),
        ({"min_agreement": 0.5}, 2, 0.9, False),  # IoU 8 / 12
        ({"min_agreement": 0.7}, 2, 0.9, True),
        ({"min_predicted_iou": 0.8}, 0, 0.79, True),
        ({"min_predicted_iou": 0.8}, 0, 0.81, False),
        (
            {"min_predicted_iou": 0.8},
            0,
            -0.1,
            True,
        ),  # SAM's head regresses; below 0 is a prediction
        ({"min_predicted_iou": 0.8}, 0, 0.0, False),  # a refiner that predicts none
        ({"min_trust": 0.6}, 2, 0.95, False),  # 0.633
        ({"min_trust": 0.65}, 2, 0.95, True),
    ],
)
def test_thresholds_by_hand(thresholds, shift, predicted, kept):
    coarse = square(4)[None]
    result = Guard(**(OFF | thresholds))(coarse, refinement(square(4 + shift)[None], [predicted], ["refined"]))
    assert result.flags == (("kept",) if kept else ("refined",))
    assert (result.masks[0] == (coarse[0] if kept else square(4 + shift))).all()
    assert list(result.rejected) == ([0] if kept else [])
    assert not kept or (result.rejected[0] == square(4 + shift)).all()


@given(masks(min_side=4), st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_what_passes_agrees_and_what_does_not_is_the_coarse_mask(coarse, seed, floor, predicted):
    refined = np.random.default_rng(seed).random(coarse.shape) < 0.5
    refined[0, 0] = True
    result = Guard(True, floor, 0, 0)(coarse[None], refinement(refined[None], [predicted], ["refined"]))
    assert pair_iou(result.masks[0], coarse) >= min(floor, 1)
    assert (result.masks[0] == (refined if result.flags == ("refined",) else coarse)).all()


@pytest.mark.parametrize(
    ("coarse_iou", "kept"),
    [
        ([0.95, 2 / 3, 0.2], True),  # one confirms the coarse mask, the chosen one departs from it
        ([0.89, 2 / 3, 0.2], False),  # none confirms it
        ([0.9, 2 / 3, 0.2], True),
    ],
)
def test_a_confirmed_coarse_mask_is_kept_when_the_choice_departs_from_it(coarse_iou, kept):
    given_back = refinement(square(6)[None], [0.9], ["refined"])  # IoU 8 / 12 with the coarse mask
    given_back.coarse_iou = np.array([coarse_iou])
    guard = Guard(**(OFF | {"confirming": 0.9, "max_gap": 0.02}))
    assert (guard(square(4)[None], given_back).flags == ("kept",)) is kept
    assert Guard(**(OFF | {"confirming": 0.9, "max_gap": 0.3})).doubts(square(4), given_back, 0) is False


def test_the_candidates_are_compared_with_the_coarse_masks_for_a_guard_that_asks():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    coarse = np.zeros((2, 40, 60), bool)
    coarse[0, 10:30, 10:40] = True
    refiner = SAMRefiner.from_pretrained("tiny", device="cpu", guard=True)
    result = refiner.refine(image, coarse, keep_candidates=True)
    expected = [pair_iou(coarse[0], candidate) for candidate in result.candidates[0]]
    np.testing.assert_allclose(result.coarse_iou[0], expected)
    assert np.isnan(result.coarse_iou[1]).all()
    assert SAMRefiner.from_pretrained("tiny", device="cpu").refine(image, coarse).coarse_iou is None


def test_switched_off_it_does_nothing():
    result = Guard(False, 1, 1, 1)(square(4)[None], refinement(square(20)[None], [0.1], ["refined"]))
    assert result.flags == ("refined",)
    assert (result.masks[0] == square(20)).all()


def test_empty_masks_and_fallbacks_keep_their_flags():
    coarse = np.stack([np.zeros((20, 40), bool), square(3)])
    result = Guard(True, 1, 1, 1)(coarse, refinement(coarse, [0, 0], ["empty", "fallback"]))
    assert result.flags == ("empty", "fallback")


def test_a_refiner_that_predicts_nothing_is_judged_by_agreement_alone():
    guard = Guard(True, 0.5, 0.9, 0.9)
    assert guard(square(4)[None], refinement(square(4)[None], [0], ["refined"])).flags == ("refined",)
    assert guard(square(4)[None], refinement(square(20)[None], [0], ["refined"])).flags == ("kept",)


def test_a_kept_mask_yields_to_refined_neighbors():
    logits = np.full((1, 20, 40), 5, dtype=np.float32)
    result = Guard(True, 0.5, 0, 0)(square(4)[None], refinement(square(20)[None], [1], ["refined"], logits))
    assert (result.logits[0][square(4)] == 0).all()
    assert (result.logits[0][~square(4)] == -np.inf).all()


@pytest.mark.parametrize("name", ["min_agreement", "min_predicted_iou", "min_trust"])
def test_a_threshold_is_a_fraction(name):
    with pytest.raises(ConfigError, match=rf"guard.{name} is 70; expected a fraction"):
        Guard(**(OFF | {name: 70}))


def test_the_python_api_guards_on_request():
    image = np.random.default_rng(0).integers(0, 255, (20, 40, 3), dtype=np.uint8)
    plain = SAMRefiner.from_pretrained("tiny", device="cpu").refine(image, square(4))
    guarded = SAMRefiner.from_pretrained("tiny", device="cpu", guard=True).refine(image, square(4))
    assert plain.flags == ("refined",)
    assert pair_iou(plain.masks[0], square(4)) < 0.6, "a random model finds nothing"
    assert guarded.flags == ("kept",)
    assert (guarded.masks[0] == square(4)).all()
