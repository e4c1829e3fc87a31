"""One mask under given settings: the pictures and numbers behind the page."""

import numpy as np
import pytest

from samref.backbones.cache import CachedBackbone, LastEmbedding
from samref.backbones.tiny import TinySam
from samref.cli.trial import (
    CHOICES,
    KEYS,
    NUMBERS,
    PICTURE_SIDE,
    SMALL_SIDE,
    changed_settings,
    default_settings,
    make_trial,
)
from samref.errors import ConfigError, InputError
from samref.refiners.samrefiner import SAMRefiner
from samref.visualization.drawing import CAPTION_HEIGHT, GAP
from tests.factories import blob, photo, rough

SIZE = (60, 90)


class Counting:
    """A backbone that counts the images it encodes."""

    def __init__(self):
        self.backbone, self.encoded = TinySam(img_size=128, seed=0), 0

    def encode(self, image):
        self.encoded += 1
        return self.backbone.encode(image)

    def __getattr__(self, name):
        return getattr(self.backbone, name)


@pytest.fixture(scope="module")
def given():
    return photo(SIZE, 0), rough(blob(SIZE, 0), 0)


@pytest.fixture
def counting():
    return Counting()


def test_a_trial_is_what_the_refiner_makes_of_the_mask(given, counting):
    overrides = ["prompts.mask.omega=7", "prompts.box.lam=0", "verdict.enabled=false"]
    expected = SAMRefiner.from_pretrained(
        "tiny", device="cpu", prompts="box_mask", clean=True, overrides=overrides
    ).refine(*given)
    settings = {"prompts": "box_mask", "prompts.mask.omega": 7, "prompts.box.lam": 0, "verdict.enabled": False}
    trial = make_trial(counting, *given, settings)
    assert (trial.mask == expected.masks[0]).all()
    assert trial.flag == expected.flags[0] == "refined"
    assert trial.predicted_iou == expected.predicted_iou[0]
    both, either = trial.mask & given[1], trial.mask | given[1]
    assert trial.agreement == pytest.approx(both.sum() / either.sum())
    assert trial.seconds["decode"] > 0


def test_pictures_show_the_image_with_what_was_mined_and_made(given, counting):
    trial = make_trial(counting, *given, {"verdict.enabled": False})
    assert trial.coarse.shape == trial.refined.shape == (round(PICTURE_SIDE * 60 / 90), PICTURE_SIDE, 3)
    assert len(trial.candidates) == 3
    small = (SMALL_SIDE * 60 // 90 + CAPTION_HEIGHT + GAP, SMALL_SIDE + GAP, 3)
    assert {picture.shape for picture in (trial.prompts, *trial.candidates)} == {small}
    assert (trial.coarse != trial.refined).any()
    box_only = make_trial(counting, *given, {"prompts": "box", "verdict.enabled": False})
    assert (box_only.coarse == trial.coarse).all()
    assert (box_only.prompts != trial.prompts).any()


def test_an_image_is_encoded_once_for_all_settings(given, counting):
    patient = CachedBackbone(counting, LastEmbedding())
    for settings in ({}, {"prompts": "point"}, {"refiner.iterations": 3}, {"prompts.mask.omega": 30}):
        make_trial(patient, *given, settings)
    assert counting.encoded == 1
    make_trial(patient, given[0][::-1].copy(), given[1], {})
    assert counting.encoded == 2


def test_the_guard_gives_the_rough_mask_back(given, counting):
    # The tiny model has random weights: what it makes of a mask is implausible.
    trial = make_trial(counting, *given, {"verdict.enabled": False, "guard.enabled": True, "prompts": "point"})
    assert trial.flag == "kept"
    assert (trial.mask == given[1]).all()
    assert trial.rejected is not None
    assert make_trial(counting, *given, {"verdict.enabled": False, "prompts": "point"}).rejected is None


@pytest.mark.parametrize("key", KEYS)
def test_every_setting_reaches_the_configuration(key):
    default = default_settings()[key]
    other = next(c for c in CHOICES[key] if c != default) if key in CHOICES else not default
    other = {"prompts.box.lam": 0.5}.get(key, default + 1) if key in NUMBERS else other
    assert changed_settings(None, {key: default}) == ["dataset=folder"]
    assert changed_settings(None, {key: other}) == ["dataset=folder", f"{key}={other}"]


@pytest.mark.parametrize("key", CHOICES)
def test_every_choice_runs(key, given, counting):
    patient = CachedBackbone(counting, LastEmbedding())
    for choice in CHOICES[key]:
        assert make_trial(patient, *given, {key: choice, "refiner.iterations": 2}).mask.shape == SIZE


def test_a_preset_moves_the_settings_it_stands_for():
    paper, released = default_settings(), default_settings("released")
    assert (paper["prompts.mask.omega"], paper["refiner.iterations"], paper["prompts.mask.form"]) == (15, 1, "center")
    assert (released["prompts.mask.omega"], released["refiner.iterations"]) == (30, 5)
    assert changed_settings("released", released) == ["dataset=folder", "+preset=released"]


def test_what_makes_no_sense_is_said(given, counting):
    with pytest.raises(InputError, match="the mask is empty; paint over the object"):
        make_trial(counting, given[0], np.zeros(SIZE, bool), {})
    with pytest.raises(ConfigError, match="expected a number above 0"):
        make_trial(counting, *given, {"prompts.mask.gamma": 0})
    with pytest.raises(InputError, match="expected"):
        make_trial(counting, given[0], given[1][:-1], {})


def test_the_guards_rule_that_needs_the_candidates_holds_here_too(counting):
    given = photo(SIZE, 1), rough(blob(SIZE, 1), 1)
    settings = {
        "verdict.enabled": False,
        "guard.enabled": True,
        "guard.min_agreement": 0,
        "guard.min_predicted_iou": 0,
        "guard.min_trust": 0,
        "guard.confirming": 0.01,
        "guard.max_gap": 0,
    }
    overrides = [f"{key}={value}" for key, value in settings.items()]
    refiner = SAMRefiner.from_pretrained("tiny", device="cpu", guard=True, overrides=overrides)
    refiner.backbone = counting
    assert refiner.refine(*given).flags == ("kept",)
    assert make_trial(counting, *given, settings).flag == "kept"
    assert make_trial(counting, *given, {**settings, "guard.confirming": 0}).flag == "refined"
