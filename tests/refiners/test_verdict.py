import numpy as np
import pytest

from samref.errors import ConfigError
from samref.geometry.masks import pair_iou
from samref.refiners.judge import KEPT_APART, KEPT_AS_GOOD, Recipe
from samref.refiners.samrefiner import SAMRefiner
from samref.refiners.source import SOURCES
from samref.refiners.verdict import Verdict, estimate_source
from samref.structures import Failure, Sample
from tests.factories import blob, photo, rough

SIZE = (60, 80)


@pytest.fixture(scope="module")
def refiner():
    return SAMRefiner.from_pretrained("tiny", device="cpu", verdict=True)


@pytest.fixture
def source(refiner):
    def choose(name):
        refiner.verdict.source = name
        return refiner

    recipes = dict(refiner.verdict.recipes)
    yield choose
    refiner.verdict.source, refiner.verdict.recipes = "auto", recipes


def masks(count=6):
    return np.stack([rough(blob(SIZE, k), k) for k in range(count)])


def box(x0, y0, x1, y1):
    mask = np.zeros(SIZE, dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


@pytest.mark.parametrize("name", [*SOURCES, "auto"])
def test_every_mask_has_a_reason_a_score_and_a_flag(source, name):
    result = source(name).refine(photo(SIZE, 0), masks())
    assert result.masks.shape == (6, *SIZE)
    assert all(result.reasons)
    assert ((result.scores >= 0) & (result.scores <= 1)).all()
    assert set(result.flags) <= {"refined", "kept", "fallback"}
    coarse = masks()
    for k, flag in enumerate(result.flags):
        if flag != "refined":
            assert (result.masks[k] == coarse[k]).all()
            assert result.reasons[k].startswith("kept")


def test_what_overlaps_too_little_is_rejected(source):
    refiner = source("superpixels")
    free, bound = (Recipe(["all", "box"], 0.2, False, min_overlap=iou) for iou in (0, 0.999))
    results = []
    for recipe in (free, bound):
        refiner.verdict.recipes["superpixels"] = recipe
        results.append(refiner.refine(photo(SIZE, 0), masks()))
    before, after = results
    assert "refined" in before.flags
    for k, coarse in enumerate(masks()):
        apart = before.flags[k] == "refined" and pair_iou(before.masks[k], coarse) < 0.999
        assert (after.reasons[k] == KEPT_APART) == apart
        assert (after.masks[k] == (coarse if apart else before.masks[k])).all()
        assert not apart or (after.rejected[k] == before.masks[k]).all()


def test_good_masks_stay_and_say_so(source):
    result = source("good").refine(photo(SIZE, 0), masks())
    assert (result.masks == masks()).all()
    assert set(result.reasons) == {KEPT_AS_GOOD}


def test_a_box_gets_a_box_prompt_and_nothing_else(source):
    result = source("auto").refine(photo(SIZE, 0), box(20, 10, 60, 50))
    assert result.prompts.mask_input is None
    assert result.prompts.boxes.tolist() == [[20, 10, 59, 49]]


@pytest.mark.parametrize("name", ["polygons", "superpixels", "network"])
def test_masks_do_not_depend_on_their_order_or_on_those_beside_them(source, name):
    image, coarse, order = photo(SIZE, 0), masks(), [3, 0, 5, 1, 4, 2]
    refiner = source(name)
    together, turned = refiner.refine(image, coarse), refiner.refine(image, coarse[order])
    assert (turned.masks == together.masks[order]).all()
    assert turned.reasons == tuple(together.reasons[k] for k in order)
    alone = refiner.refine(image, coarse[2])
    assert (alone.masks[0] == together.masks[2]).all()


def test_an_empty_mask_stays_empty(source):
    coarse = masks(2)
    coarse[1] = False
    result = source("polygons").refine(photo(SIZE, 0), coarse)
    assert result.flags[1] == "empty"
    assert not result.masks[1].any()
    assert result.prompts.point_labels[1].tolist() == [-1] * result.prompts.point_labels.shape[1]


def test_truth_candidates_and_logits_are_there_on_request(source):
    coarse = masks(3)
    result = source("polygons").refine(photo(SIZE, 0), coarse, coarse, keep_candidates=True, keep_logits=True)
    assert result.candidates.shape == (3, 3, *SIZE)
    assert not np.isnan(result.candidate_iou).any()
    assert ((result.logits > 0) == result.masks).all()


@pytest.mark.parametrize(
    "options", [{"prompts": "box"}, {"iterations": 2}, {"selection": "coarse"}], ids=lambda options: str(options)
)
def test_whoever_chooses_prompts_rounds_or_rule_gets_these(options):
    plain = SAMRefiner.from_pretrained("tiny", device="cpu", **options).refine(photo(SIZE, 0), masks(2))
    chosen = SAMRefiner.from_pretrained("tiny", device="cpu", verdict=True, **options)
    result = chosen.refine(photo(SIZE, 0), masks(2))
    assert chosen.verdict is None
    assert result.reasons is None
    assert (result.masks == plain.masks).all()


def test_a_data_sets_source_is_that_of_masks_spread_over_it(refiner):
    boxes = [Sample(photo(SIZE, k), box(10 + k, 10, 50 + k, 40)[None], k, (0,)) for k in range(12)]
    parts = refiner.backbone, refiner.prompts
    found = estimate_source(refiner.verdict, boxes, *parts)
    assert (found.source, found.masks) == ("boxes", 12)
    assert estimate_source(refiner.verdict, [Failure(0, "unreadable"), *boxes], *parts).source == "boxes"
    assert estimate_source(refiner.verdict, boxes[:3], *parts).source == "auto"
    assert estimate_source(refiner.verdict, [], *parts).masks == 0


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Recipe(["box"], 0.5, False), "coarse_weight of 0.5; expected a share from 0 to below 0.5"),
        (lambda: Recipe(["box"], 0, False, min_overlap=1), "min_overlap of 1; expected an IoU from 0 to below 1"),
        (lambda: Recipe([], 0.1, False), "without hypotheses"),
        (lambda: Recipe(["circle"], 0.1, False), "a hypothesis is named 'circle'"),
        (lambda: Verdict(True, "boxen", {}), "verdict.source is 'boxen'; expected auto or one of boxes"),
        (lambda: Verdict(True, "auto", {}), "has none for boxes, good"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(make, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make()


def test_what_was_decided_against_is_kept_with_kept_masks_alone(source):
    coarse = masks()
    result = source("good").refine(photo(SIZE, 0), coarse)
    assert set(result.rejected) == set(range(len(coarse)))
    assert all((result.rejected[k] != coarse[k]).any() for k in result.rejected)
    assert not source("superpixels").refine(photo(SIZE, 0), coarse).rejected
