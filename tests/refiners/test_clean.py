import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samref.errors import ConfigError
from samref.refiners.clean import Clean
from samref.refiners.samrefiner import SAMRefiner
from samref.structures import Prompts, Refinement
from tests.factories import photo
from tests.strategies import masks as any_mask

SIZE = (40, 60)
CLEAN = Clean(True, crumb=5, pinhole=5)


def drawn(*boxes, size=SIZE):
    """(x, y, width, height) each; a fifth entry of 0 takes pixels away."""
    mask = np.zeros(size, bool)
    for x, y, width, height, *value in boxes:
        mask[y : y + height, x : x + width] = not value
    return mask


# Neither a box nor an ellipse, so that its shape counts.
OBJECT = [(10, 10, 30, 15), (10, 25, 10, 10)]


@pytest.mark.parametrize(
    ("refined", "coarse", "expected"),
    [
        pytest.param([*OBJECT, (50, 5, 2, 2)], OBJECT, OBJECT, id="a crumb goes"),
        pytest.param([*OBJECT, (50, 5, 2, 2)], [*OBJECT, (51, 6, 4, 4)], [*OBJECT, (50, 5, 2, 2)], id="not the coarse"),
        pytest.param([*OBJECT, (50, 5, 5, 1)], OBJECT, [*OBJECT, (50, 5, 5, 1)], id="five px are no crumb"),
        pytest.param([*OBJECT, (20, 15, 2, 2, 0)], OBJECT, OBJECT, id="a pinhole is filled"),
        pytest.param(
            [*OBJECT, (20, 15, 2, 2, 0)], [*OBJECT, (21, 16, 3, 3, 0)], [*OBJECT, (20, 15, 2, 2, 0)], id="nor its own"
        ),
        pytest.param([*OBJECT, (20, 15, 5, 1, 0)], OBJECT, [*OBJECT, (20, 15, 5, 1, 0)], id="five px are no pinhole"),
        pytest.param([*OBJECT, (39, 12, 1, 2, 0)], OBJECT, [*OBJECT, (39, 12, 1, 2, 0)], id="a notch is no hole"),
        pytest.param([*OBJECT, (10, 10, 1, 1, 0)], OBJECT, [*OBJECT, (10, 10, 1, 1, 0)], id="nor is a corner"),
        pytest.param([*OBJECT, (12, 37, 2, 2)], [(5, 5, 45, 34)], OBJECT, id="crumbs in a coarse box go"),
        pytest.param([(10, 10, 4, 4), (20, 10, 2, 2)], [(30, 30, 4, 4)], [(10, 10, 4, 4), (20, 10, 2, 2)], id="a part"),
        pytest.param([(10, 10, 2, 2)], OBJECT, [(10, 10, 2, 2)], id="all there is"),
        pytest.param([], OBJECT, [], id="nothing"),
    ],
)
def test_what_is_small_and_not_in_the_coarse_mask_goes(refined, coarse, expected):
    assert (CLEAN.mask(drawn(*refined), drawn(*coarse)) == drawn(*expected)).all()


def test_a_checkerboard_at_the_rim_falls_apart():
    mask = drawn(*OBJECT)
    rim = mask.copy()
    rim[9, 11:40:2] = rim[8, 12:40:2] = True
    cleaned = CLEAN.mask(rim, mask)
    assert not cleaned[8].any()


@given(refined=any_mask(), seed=st.integers(0, 2**32 - 1), crumb=st.integers(0, 20), pinhole=st.integers(0, 20))
def test_only_small_things_change_and_cleaning_twice_is_cleaning_once(refined, seed, crumb, pinhole):
    coarse = np.random.default_rng(seed).random(refined.shape) < 0.5
    clean = Clean(True, crumb, pinhole)
    before = refined.copy()
    cleaned = clean.mask(refined, coarse)
    assert (refined == before).all()
    assert cleaned.any() == refined.any()
    assert (clean.mask(cleaned, coarse) == cleaned).all()
    assert not (cleaned & ~refined & ~coarse).any()
    assert (Clean(True, 0, 0).mask(refined, coarse) == refined).all()


def test_logits_follow_and_kept_masks_stay():
    coarse = np.stack([drawn(*OBJECT)] * 2)
    masks = np.stack([drawn(*OBJECT, (50, 5, 2, 2), (20, 15, 2, 2, 0))] * 2)
    logits = np.where(masks, 3.0, -3.0).astype(np.float32)
    zeros = np.zeros((2, 3), np.float32)
    result = Refinement(masks, np.zeros(2, int), zeros[:, 0], zeros, Prompts(), ("refined", "kept"), logits=logits)
    kept = masks[1].copy()
    assert (Clean(False, 5, 5)(coarse, result).masks[0] == kept).all()
    CLEAN(coarse, result)
    assert (result.masks[0] == coarse[0]).all()
    assert (result.masks[1] == kept).all()
    assert ((result.logits > 0) == result.masks).all()


def test_a_refiner_cleans_where_it_is_enabled():
    coarse = drawn(*OBJECT)
    much = ["clean.crumb=99", "clean.pinhole=99"]
    cleaned = SAMRefiner.from_pretrained("tiny", device="cpu", clean=True, overrides=much)
    plain = SAMRefiner.from_pretrained("tiny", device="cpu")
    image = photo(SIZE, 0)
    expected = Clean(True, 99, 99).mask(plain.refine(image, coarse).masks[0], coarse)
    assert (cleaned.refine(image, coarse).masks[0] == expected).all()


@pytest.mark.parametrize("name", ["crumb", "pinhole"])
def test_less_than_no_px_makes_no_sense(name):
    with pytest.raises(ConfigError, match=f"clean.{name} is -1; expected a number of px"):
        Clean(True, **{"crumb": 1, "pinhole": 1, name: -1})
