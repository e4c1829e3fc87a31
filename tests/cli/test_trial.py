"""Masks under given settings, as the page refines them."""

import numpy as np
import pytest

from samref.backbones.cache import CachedBackbone, LastEmbedding
from samref.backbones.tiny import TinySam
from samref.cli.trial import (
    CHOICES,
    KEYS,
    NUMBERS,
    changed_settings,
    default_settings,
    refine_masks,
)
from samref.errors import ConfigError, InputError
from samref.refiners.samrefiner import SAMRefiner
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
    return photo(SIZE, 0), rough(blob(SIZE, 0), 0)[None]


@pytest.fixture
def counting():
    return Counting()


def test_a_mask_is_what_the_refiner_makes_of_it(given, counting):
    overrides = ["prompts.mask.omega=7", "prompts.box.lam=0", "verdict.enabled=false"]
    expected = SAMRefiner.from_pretrained(
        "tiny", device="cpu", prompts="box_mask", clean=True, overrides=overrides
    ).refine(*given)
    settings = {"prompts": "box_mask", "prompts.mask.omega": 7, "prompts.box.lam": 0, "verdict.enabled": False}
    result = refine_masks(counting, *given, settings)
    assert (result.masks == expected.masks).all()
    assert result.flags == expected.flags == ("refined",)
    assert (result.predicted_iou == expected.predicted_iou).all()
    assert result.candidates.shape == (1, 3, *SIZE)
    assert result.timing["decode"] > 0


def test_several_masks_are_refined_as_each_is_alone(given, counting):
    both = np.stack([given[1][0], blob(SIZE, 5)])
    together = refine_masks(counting, given[0], both, {"verdict.enabled": False})
    for k, mask in enumerate(both):
        alone = refine_masks(counting, given[0], mask[None], {"verdict.enabled": False})
        assert (alone.masks[0] == together.masks[k]).all()


def test_an_image_is_encoded_once_for_all_settings(given, counting):
    patient = CachedBackbone(counting, LastEmbedding())
    for settings in ({}, {"prompts": "point"}, {"refiner.iterations": 3}, {"prompts.mask.omega": 30}):
        refine_masks(patient, *given, settings)
    assert counting.encoded == 1
    refine_masks(patient, given[0][::-1].copy(), given[1], {})
    assert counting.encoded == 2


def test_the_guard_gives_the_rough_mask_back(given, counting):
    # The tiny model has random weights: what it makes of a mask is implausible.
    guarded = refine_masks(counting, *given, {"verdict.enabled": False, "guard.enabled": True, "prompts": "point"})
    assert guarded.flags == ("kept",)
    assert (guarded.masks == given[1]).all()
    assert 0 in guarded.rejected
    assert not refine_masks(counting, *given, {"verdict.enabled": False, "prompts": "point"}).rejected


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
        assert refine_masks(patient, *given, {key: choice, "refiner.iterations": 2}).masks.shape == (1, *SIZE)


def test_a_preset_moves_the_settings_it_stands_for():
    paper, released = default_settings(), default_settings("released")
    assert (paper["prompts.mask.omega"], paper["refiner.iterations"], paper["prompts.mask.form"]) == (15, 1, "center")
    assert (released["prompts.mask.omega"], released["refiner.iterations"]) == (30, 5)
    assert changed_settings("released", released) == ["dataset=folder", "+preset=released"]


def test_what_makes_no_sense_is_said(given, counting):
    with pytest.raises(InputError, match="the mask is empty; paint over the object"):
        refine_masks(counting, given[0], np.zeros((1, *SIZE), bool), {})
    with pytest.raises(ConfigError, match="expected a number above 0"):
        refine_masks(counting, *given, {"prompts.mask.gamma": 0})
    with pytest.raises(InputError, match="expected"):
        refine_masks(counting, given[0], given[1][:, :-1], {})


def test_the_guards_rule_that_needs_the_candidates_holds_here_too(counting):
    given = photo(SIZE, 1), rough(blob(SIZE, 1), 1)[None]
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
    assert refine_masks(counting, *given, settings).flags == ("kept",)
    assert refine_masks(counting, *given, {**settings, "guard.confirming": 0}).flags == ("refined",)
