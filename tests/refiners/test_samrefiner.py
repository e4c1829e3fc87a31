"""The refiner on a tiny random model: order, chunks, degenerate masks, cascades, selection."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from samref.backbones.tiny import TinySam
from samref.config.compose import build, compose_config
from samref.errors import ConfigError, InputError
from samref.geometry.masks import pair_iou
from samref.refiners.candidates import candidate_masks, cut_mask
from samref.refiners.samrefiner import CASCADES, SAMRefiner
from samref.structures import EMPTY, FALLBACK, REFINED, Candidates, Sample
from tests.backbones.prompting import random_image

SIZE = (61, 97)


@pytest.fixture(scope="module")
def backbone():
    return TinySam(device="cpu")


@pytest.fixture(scope="module")
def refiner(backbone):
    def make(prompts="all", backbone=backbone, **options):
        config = compose_config(["backbone=tiny", f"prompts={prompts}"])
        return build(config.refiner, backbone=backbone, prompts=build(config.prompts), **options)

    return make


def disks(count, size=SIZE, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    centers = rng.uniform(0, size, (count, 2))
    radii = rng.uniform(3, max(4, min(size) / 2), count)
    masks = [(y - cy) ** 2 + (x - cx) ** 2 <= r**2 for (cy, cx), r in zip(centers, radii, strict=True)]
    for mask, (cy, cx) in zip(masks, centers, strict=True):
        mask[int(cy), int(cx)] = True
    return np.array(masks, dtype=bool).reshape(count, *size)


def same(a, b):
    return (
        (a.masks == b.masks).all()
        and (a.chosen == b.chosen).all()
        and (a.predicted_iou == b.predicted_iou).all()
        and (a.iou_predictions == b.iou_predictions).all()
        and a.flags == b.flags
    )


@pytest.mark.parametrize("prompts", ["all", "mask", "point_box"])
@pytest.mark.parametrize("iterations", [1, 3])
def test_chunks_change_nothing(refiner, prompts, iterations):
    image, masks = random_image(SIZE), disks(7)
    whole = refiner(prompts, iterations=iterations, chunk_size=100).refine(image, masks)
    for size in (1, 2, 3):
        assert same(refiner(prompts, iterations=iterations, chunk_size=size).refine(image, masks), whole)


def test_masks_come_back_in_their_order(refiner):
    image, masks = random_image(SIZE), disks(5)
    order = np.array([3, 0, 4, 1, 2])
    forward, shuffled = refiner().refine(image, masks), refiner().refine(image, masks[order])
    assert (shuffled.masks == forward.masks[order]).all()
    assert (shuffled.prompts.boxes == forward.prompts.boxes[order]).all()


def test_a_mask_does_not_depend_on_the_others(refiner):
    image, masks = random_image(SIZE), disks(4)
    together = refiner().refine(image, masks)
    for k, mask in enumerate(masks):
        assert (refiner().refine(image, mask).masks[0] == together.masks[k]).all()


def test_inputs_are_left_alone(refiner):
    image, masks = random_image(SIZE), disks(3)
    before = image.copy(), masks.copy()
    result = refiner(iterations=2).refine(image, masks)
    assert (image == before[0]).all()
    assert (masks == before[1]).all()
    assert not np.shares_memory(result.masks, masks)


def test_empty_masks_stay_empty_and_keep_their_place(refiner):
    image, masks = random_image(SIZE), disks(4)
    masks[1] = masks[3] = False
    result = refiner().refine(image, masks)
    assert result.flags == (REFINED, EMPTY, REFINED, EMPTY)
    assert not result.masks[[1, 3]].any()
    assert result.chosen[[1, 3]].tolist() == [-1, -1]
    assert np.isnan(result.prompts.boxes[[1, 3]]).all()
    assert (result.prompts.point_labels[[1, 3]] == -1).all()
    assert (result.masks[[0, 2]] == refiner().refine(image, masks[[0, 2]]).masks).all()


def test_nothing_is_encoded_for_empty_masks_alone(refiner, backbone, monkeypatch):
    monkeypatch.setattr(backbone, "encode", lambda image: pytest.fail("encoded"), raising=False)
    result = refiner().refine(random_image(SIZE), np.zeros((2, *SIZE), bool))
    assert result.flags == (EMPTY, EMPTY)


def test_no_masks_give_no_masks(refiner):
    result = refiner().refine(random_image(SIZE), np.zeros((0, *SIZE), bool))
    assert result.masks.shape == (0, *SIZE)
    assert result.flags == ()
    assert result.iou_predictions.shape == (0, 3)


DEGENERATE = {
    "pixel": np.s_[30, 40],
    "corner pixel": np.s_[60, 96],
    "row": np.s_[5, :],
    "column": np.s_[:, 96],
    "everything": np.s_[:, :],
    "all borders": (slice(None), slice(None)),
}


@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.parametrize("prompts", ["point", "box", "mask", "all"])
def test_degenerate_masks_are_refined(refiner, kind, prompts):
    mask = np.zeros(SIZE, bool)
    mask[DEGENERATE[kind]] = True
    if kind == "all borders":
        mask[1:-1, 1:-1] = False
    result = refiner(prompts, iterations=2).refine(random_image(SIZE), mask)
    assert result.masks.shape == (1, *SIZE)
    assert result.flags[0] in (REFINED, FALLBACK)
    assert result.masks.any()
    for part in (result.prompts.point_coords, result.prompts.boxes):
        if part is not None:
            flat = part.reshape(-1, 2)
            assert ((flat >= 0) & (flat < (SIZE[1], SIZE[0]))).all()
    if result.prompts.mask_input is not None:
        assert np.isfinite(result.prompts.mask_input).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 1000), (7, 5)])
def test_thin_and_tiny_images(refiner, size):
    mask = np.zeros(size, bool)
    mask[size[0] // 2, size[1] // 3 :] = True
    result = refiner(iterations=2).refine(np.zeros((*size, 3), np.uint8), mask)
    assert result.masks.shape == (1, *size)
    assert result.masks.any()


class AlwaysEmpty:
    """A backbone whose candidates hold no foreground."""

    def __init__(self, backbone):
        self.backbone = backbone

    def __getattr__(self, name):
        return getattr(self.backbone, name)

    def decode(self, embedding, prompts, **options):
        candidates = self.backbone.decode(embedding, prompts, **options)
        return replace(candidates, low_res_logits=torch.full_like(candidates.low_res_logits, -1))


@pytest.mark.parametrize("cascade", CASCADES)
def test_an_empty_refinement_falls_back_to_the_coarse_mask(refiner, backbone, cascade):
    masks = disks(3)
    result = refiner(backbone=AlwaysEmpty(backbone), iterations=2, cascade=cascade).refine(random_image(SIZE), masks)
    assert result.flags == (FALLBACK,) * 3
    assert (result.masks == masks).all()


class EmptyFromSecondRoundOn(AlwaysEmpty):
    calls = 0

    def decode(self, embedding, prompts, **options):
        self.calls += 1
        if self.calls == 1:
            return self.backbone.decode(embedding, prompts, **options)
        return super().decode(embedding, prompts, **options)


def test_a_later_round_that_comes_out_empty_leaves_the_refinement_before_it(refiner, backbone):
    image, masks = random_image(SIZE), disks(3)
    first = refiner().refine(image, masks, keep_logits=True)
    assert REFINED in first.flags
    twice = refiner(backbone=EmptyFromSecondRoundOn(backbone), iterations=2).refine(image, masks, keep_logits=True)
    assert twice.flags == first.flags
    assert (twice.masks == first.masks).all()
    done = [flag == REFINED for flag in first.flags]
    assert (twice.logits[done] == first.logits[done]).all()


def test_the_last_round_takes_the_masks_of_the_one_before(refiner):
    image, masks = random_image(SIZE), disks(3)
    first = refiner(iterations=1).refine(image, masks)
    twice = refiner(iterations=2).refine(image, masks)
    again = refiner(iterations=1).refine(image, first.masks)
    refined = [flag == REFINED for flag in again.flags]
    assert (twice.masks[refined] == again.masks[refined]).all()


def decoded_prompts(refiner, backbone, monkeypatch, image, masks):
    """The prompts and chosen logits of every round."""
    seen = []
    decode = type(backbone).decode

    def spy(self, embedding, prompts, **options):
        candidates = decode(self, embedding, prompts, **options)
        seen.append((prompts, candidates, options))
        return candidates

    monkeypatch.setattr(type(backbone), "decode", spy)
    refiner.refine(image, masks)
    return seen


@pytest.mark.parametrize("cascade", CASCADES[1:])
def test_logits_are_handed_on_whole(refiner, backbone, monkeypatch, cascade):
    image, masks = random_image(SIZE), disks(2)
    seen = decoded_prompts(refiner(iterations=3, cascade=cascade), backbone, monkeypatch, image, masks)
    assert [options["unpadded_only"] for _, _, options in seen] == [False, False, True]
    assert (seen[0][0].mask_input is None) == (cascade == "box_then_logits")
    for (_, candidates, _), (prompts, _, _) in pairwise(seen):
        best = candidates.multi_iou.argmax(dim=1)
        chosen = candidates.multi_logits[torch.arange(2), best]
        assert np.array_equal(prompts.mask_input[:, 0], chosen.numpy())


@pytest.mark.parametrize("cascade", CASCADES)
def test_points_and_boxes_of_the_first_round_may_be_kept(refiner, backbone, monkeypatch, cascade):
    image, masks = random_image(SIZE), disks(2)
    kept = decoded_prompts(refiner(iterations=3, cascade=cascade, mining="first"), backbone, monkeypatch, image, masks)
    monkeypatch.undo()
    again = decoded_prompts(refiner(iterations=3, cascade=cascade), backbone, monkeypatch, image, masks)
    for prompts, _, _ in kept[1:]:
        assert np.array_equal(prompts.boxes, kept[0][0].boxes)
        assert np.array_equal(prompts.point_coords, kept[0][0].point_coords)
    assert not np.array_equal(again[1][0].boxes, again[0][0].boxes), "else the two would be the same"
    assert not np.array_equal(kept[1][0].mask_input, kept[2][0].mask_input)


def test_oracle_selection_is_never_below_another(refiner):
    image, masks, truth = random_image(SIZE), disks(6), disks(6, seed=1)
    ious = {}
    for rule in ("predicted", "coarse", "oracle"):
        result = refiner(selection=rule).refine(image, masks, truth)
        ious[rule] = np.array([pair_iou(a, b) for a, b in zip(result.masks, truth, strict=True)])
        assert (result.candidate_iou.max(axis=1) >= result.candidate_iou[np.arange(6), result.chosen]).all()
    refined = np.array([flag == REFINED for flag in result.flags])
    assert (ious["oracle"][refined] >= ious["predicted"][refined]).all()
    assert (ious["oracle"][refined] >= ious["coarse"][refined]).all()


def test_candidates_are_kept_by_an_option(refiner):
    image, masks, truth = random_image(SIZE), disks(3), disks(3, seed=1)
    result = refiner().refine(image, masks, truth, keep_candidates=True, keep_logits=True)
    assert result.candidates.shape == (3, 3, *SIZE)
    for k in range(3):
        assert result.candidate_iou[k].tolist() == [pair_iou(c, truth[k]) for c in result.candidates[k]]
        if result.flags[k] == REFINED:
            assert (result.masks[k] == result.candidates[k, result.chosen[k]]).all()
            assert (result.masks[k] == (result.logits[k] > 0)).all()


def test_logits_of_an_empty_mask_lose_against_any_other(refiner):
    masks = disks(2)
    masks[0] = False
    assert (refiner().refine(random_image(SIZE), masks, keep_logits=True).logits[0] == -np.inf).all()


def test_single_selection_takes_the_single_mask_token(refiner, backbone):
    image, masks = random_image(SIZE), disks(2)
    result = refiner(selection="single").refine(image, masks)
    assert result.chosen.tolist() == [-1, -1]
    embedding = backbone.encode(image)
    candidates = backbone.decode(embedding, result.prompts)
    for k in range(2):
        single = np.zeros(SIZE, bool)
        cut_mask(candidates.low_res_logits[k, 0], embedding, backbone.img_size).paste(single)
        assert (result.masks[k] == single).all() or result.flags[k] == FALLBACK


def test_candidate_masks_are_those_of_multi_mask_mode(backbone):
    embedding = backbone.encode(random_image(SIZE))
    grid = backbone.mask_input_size
    logits = torch.full((1, 4, *grid), -1.0)
    logits[0, 2] = 1
    masks = candidate_masks(Candidates(logits, torch.zeros(1, 4), torch.zeros(1, 2)), 0, embedding, backbone.img_size)
    assert masks.any(axis=(1, 2)).tolist() == [False, True, False]


def test_times_of_all_stages_are_reported(refiner):
    timing = refiner().refine(random_image(SIZE), disks(2)).timing
    assert all(timing[stage] > 0 for stage in ("encode", "excavate", "decode", "postprocess"))


@pytest.mark.parametrize(
    "options", [{"iterations": 0}, {"chunk_size": 0}, {"cascade": "none"}, {"mining": "never"}, {"selection": "best"}]
)
def test_values_without_meaning_are_refused(refiner, options):
    with pytest.raises(ConfigError, match=str(next(iter(options.values())))):
        refiner(**options)


def test_oracle_selection_without_truth_says_what_it_needs(refiner):
    with pytest.raises(ConfigError, match="needs ground truth"):
        refiner(selection="oracle").refine(random_image(SIZE), disks(1))


def test_a_mask_of_another_size_is_named(refiner):
    with pytest.raises(InputError, match=r"40.*61"):
        refiner().refine(random_image(SIZE), np.zeros((1, 40, 97), bool))


def test_a_samples_masks_may_be_read_only(backbone, refiner):
    masks = disks(2)
    masks.flags.writeable = False
    assert isinstance(refiner(), SAMRefiner)
    sample = Sample(random_image(SIZE), masks, "image", (0, 1))
    assert refiner().refine_sample(sample).masks.flags.writeable
