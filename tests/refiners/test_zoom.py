import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from samref.backbones.cache import CachedBackbone
from samref.callbacks.refinement_json import from_json, to_json
from samref.config.compose import build, compose_config
from samref.errors import ConfigError
from samref.refiners.samrefiner import SAMRefiner
from samref.refiners.verdict import estimate_source
from samref.refiners.views import View
from samref.refiners.zoom import LARGE_IMAGE, SMALL_OBJECT, Zoom
from samref.structures import Embedding, Sample
from tests.factories import photo
from tests.robustness.test_alignment import IMG_SIZE, StandIn, distance, painted

SIZE = (80, 124)
OPTIONS = ["zoom.context=2", "zoom.small=0.2", "zoom.min_side=8"]


def zoom(**options):
    return Zoom(**{"enabled": True, "context": 2, "small": 0.2, "min_side": 8, "max_crops": 16, **options})


def square(x, y, side, size=SIZE):
    mask = np.zeros(size, bool)
    mask[y : y + side, x : x + side] = True
    mask[y, x] = False
    return mask


def scattered():
    """Four small masks, two of them neighbors, and a large one."""
    places = [(9, 9, 6), (10, 10, 6), (100, 50, 5), (60, 30, 10), (20, 15, 55)]
    return np.stack([square(*place) for place in places])


@pytest.fixture(scope="module", params=[True, False], ids=["verdict", "plain"])
def refiner(request):
    return SAMRefiner.from_pretrained("tiny", device="cpu", zoom=True, verdict=request.param, overrides=OPTIONS)


@st.composite
def images_of_boxes(draw):
    height, width = draw(st.tuples(st.integers(8, 3000), st.integers(8, 3000)))
    boxes = []
    for _ in range(draw(st.integers(1, 12))):
        (y0, y1), (x0, x1) = (sorted(draw(st.tuples(*2 * [st.integers(0, n - 1)]))) for n in (height, width))
        boxes.append((x0, y0, x1, y1))
    return boxes, (height, width)


@given(case=images_of_boxes(), most=st.integers(1, 6), context=st.floats(1.5, 5))
def test_crops_are_bounded_hold_their_boxes_and_do_not_depend_on_order(case, most, context):
    boxes, size = case
    chosen = zoom(context=context, max_crops=most).windows(boxes, size, 1024)
    assert len(set(chosen) - {None}) <= most
    for (x0, y0, x1, y1), window in zip(boxes, chosen, strict=True):
        if window is not None:
            assert window.x <= x0 <= x1 < window.x + window.width
            assert window.y <= y0 <= y1 < window.y + window.height
            assert max(window.size) <= -(-max(size) // 2)
            assert max(window.size) + 1 >= min(context * (max(x1 - x0, y1 - y0) + 1), max(size) / 2)
    assert zoom(context=context, max_crops=most).windows(boxes[::-1], size, 1024) == chosen[::-1]


@given(case=images_of_boxes())
def test_a_crop_depends_on_its_box_alone_while_there_are_enough(case):
    boxes, size = case
    every = zoom(max_crops=len(boxes))
    assert every.windows(boxes, size, 1024) == [every.windows([box], size, 1024)[0] for box in boxes]


def test_small_masks_have_crops_and_neighbors_share_one():
    views = zoom().views(scattered(), np.arange(5), 1024)
    assert [view.rows.tolist() for view in views] == [[4], [0, 1], [3], [2]]
    assert views[0].window is None
    assert {view.why for view in views[1:]} == {SMALL_OBJECT}


def test_in_a_large_image_all_that_a_crop_magnifies_have_one():
    sides = zoom(small=0).windows([(0, 0, 899, 599), (100, 100, 1299, 1299)], (3000, 4000), 1024)
    assert [None if side is None else max(side.size) for side in sides] == [2000, None]
    assert zoom(small=0).windows([(0, 0, 79, 59)], (300, 400), 1024) == [None]
    mask = np.zeros((1, 30, 2000), bool)
    mask[0, 5:9, 40:60] = True
    assert [view.why for view in zoom().views(mask, np.arange(1), 1024)] == [LARGE_IMAGE]


def test_only_masks_in_crops_change_and_each_says_so(refiner):
    image, coarse = photo(SIZE, 1), scattered()
    near = refiner.refine(image, coarse, keep_candidates=True, keep_logits=True)
    crops, refiner.zoom = refiner.zoom, None
    far = refiner.refine(image, coarse, keep_candidates=True, keep_logits=True)
    refiner.zoom = crops
    assert [SMALL_OBJECT in reason for reason in near.reasons] == [True, True, True, True, False]
    assert (near.masks[4] == far.masks[4]).all()
    assert near.predicted_iou[4] == far.predicted_iou[4]
    assert (near.predicted_iou[:4] != far.predicted_iou[:4]).all()
    for k, flag in enumerate(near.flags):
        assert ((near.logits[k] > 0) == near.masks[k]).all() or flag != "refined"
        assert (near.masks[k] == coarse[k]).all() or flag == "refined"


def test_what_was_rejected_in_a_crop_is_kept_for_the_next_run(refiner):
    found = refiner.refine(photo(SIZE, 1), scattered())
    if refiner.verdict is not None:
        assert set(found.rejected) & {0, 1, 2, 3}
    again = from_json(json.loads(json.dumps(to_json(found))))
    assert again.rejected.keys() == found.rejected.keys()
    assert all((again.rejected[k] == mask).all() for k, mask in found.rejected.items())


def test_a_crop_is_refined_as_an_image_of_its_own(refiner):
    image, coarse = photo(SIZE, 1), scattered()
    window = zoom().windows([(100, 50, 104, 54)], SIZE, 128)[0]
    near = refiner.refine(image, coarse[2])
    crops, refiner.zoom = refiner.zoom, None
    alone = refiner.refine(np.ascontiguousarray(image[window.slices]), coarse[2][window.slices].copy())
    refiner.zoom = crops
    assert (near.masks[0][window.slices] == alone.masks[0]).all()
    assert near.masks[0].sum() == alone.masks[0].sum()
    assert near.prompts.boxes[0].tolist() == (alone.prompts.boxes[0] + [window.x, window.y] * 2).tolist()
    assert (near.prompts.point_coords[0] == alone.prompts.point_coords[0] + [window.x, window.y]).all()


def test_masks_do_not_depend_on_order_on_those_beside_them_or_on_a_second_run(refiner):
    image, coarse, order = photo(SIZE, 1), scattered(), [3, 0, 4, 1, 2]
    together, turned = refiner.refine(image, coarse), refiner.refine(image, coarse[order])
    assert (turned.masks == together.masks[order]).all()
    assert turned.reasons == tuple(together.reasons[k] for k in order)
    assert (turned.prompts.boxes == together.prompts.boxes[order]).all()
    assert (refiner.refine(image, coarse).masks == together.masks).all()
    padded = np.zeros((7, *SIZE), bool)
    padded[[0, 2, 3, 5, 6]] = coarse
    among_empty = refiner.refine(image, padded)
    assert (among_empty.masks[[0, 2, 3, 5, 6]] == together.masks).all()
    assert among_empty.flags[1] == among_empty.flags[4] == "empty"
    alone = [refiner.refine(image, mask).masks[0] for mask in coarse]
    assert (np.stack(alone) == together.masks).all()


def test_truth_outside_a_crop_counts(refiner):
    image, coarse = photo(SIZE, 1), scattered()[2:3]
    truth = coarse.copy()
    truth[0, :40, :40] = True
    result = refiner.refine(image, coarse, truth, keep_candidates=True)
    expected = [(one & truth[0]).sum() / (one | truth[0]).sum() for one in result.candidates[0]]
    assert result.candidate_iou[0] == pytest.approx(expected)
    assert refiner.refine(image, coarse, truth).candidate_iou[0] == pytest.approx(expected)


class Keeping(dict):
    """A store that keeps everything."""

    def read(self, group, key):
        return self.get(key)

    def write(self, group, key, tensors):
        self[key] = tensors

    def encoding(self, key):
        from contextlib import nullcontext

        return nullcontext()


def test_a_crop_is_encoded_once_for_all_its_masks_and_cached_as_an_image_is(refiner):
    image, coarse, own = photo(SIZE, 1), scattered(), refiner.backbone
    refiner.backbone = CachedBackbone(getattr(own, "uncached", own), Keeping())
    try:
        first = refiner.refine(image, coarse)
        assert (refiner.backbone.misses, refiner.backbone.hits) == (4, 0)
        again = refiner.refine(image, coarse)
        assert (refiner.backbone.misses, refiner.backbone.hits) == (4, 4)
    finally:
        refiner.backbone = own
    assert (first.masks == again.masks).all()


def test_a_data_sets_source_is_found_in_the_crops(refiner):
    if refiner.verdict is None:
        return
    seen = []

    class Counting:
        def __getattr__(self, name):
            return getattr(refiner.backbone, name)

        def encode(self, image):
            seen.append(image.shape[:2])
            return refiner.backbone.encode(image)

    samples = [Sample(photo(SIZE, k), scattered()[:3], k, (0, 1, 2)) for k in range(3)]
    estimate_source(refiner.verdict, samples, Counting(), refiner.prompts, refiner.zoom)
    assert seen.count(SIZE) == 3
    assert len(seen) == 9


def coordinates(size):
    """An image whose pixels say where they are."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack([x & 255, y & 255, (x >> 8) | ((y >> 8) << 4)], axis=-1).astype(np.uint8)


class Knowing(StandIn):
    """A stand-in that reads off the pixels which part of the scene it is given."""

    def encode(self, image):
        low_x, low_y, high = (int(value) for value in image[0, 0])
        plain = super().encode(image)
        corner = torch.tensor([low_x + 256 * (high & 15), low_y + 256 * (high >> 4)])
        return Embedding(plain.features, plain.original_size, plain.input_size, (corner,))


@settings(max_examples=20)
@given(
    size=st.tuples(st.integers(300, 900), st.integers(300, 900)),
    center=st.tuples(st.floats(0.05, 0.95), st.floats(0.05, 0.95)),
    radius=st.floats(6, 30),
)
def test_exact_logits_in_a_crop_come_out_as_the_pixels_of_the_scene(size, center, radius):
    shape = (*center, radius / size[1], radius / size[0])
    grid = IMG_SIZE // 4

    def answer(embedding, prompts):
        model = (np.arange(grid) + 0.5) * IMG_SIZE / grid
        left, top = (int(value) for value in embedding.interm[0])
        x = left + model[None, :] * embedding.original_size[1] / embedding.input_size[1]
        y = top + model[:, None] * embedding.original_size[0] / embedding.input_size[0]
        return np.repeat(distance(x, y, size, shape)[None], len(prompts), axis=0)

    config = compose_config(["backbone=tiny", "prompts.box.lam=0"])
    refiner = build(config.refiner, backbone=Knowing(answer), prompts=build(config.prompts))
    refiner.zoom = zoom(small=0.3)
    truth = painted(size, shape)
    result = refiner.refine(coordinates(size), truth > 0)
    assert result.reasons is not None
    wrong = result.masks[0] != (truth > 0)
    assert np.abs(truth[wrong]).max(initial=0) < 0.3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"context": 1.2}, "zoom.context is 1.2; expected 1.5 or more"),
        ({"small": 1.5}, "zoom.small is 1.5; expected a share"),
        ({"max_crops": 0}, "max_crops=0; expected at least 1"),
        ({"min_side": 0}, "min_side=0"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        zoom(**options)


def test_an_image_is_a_view_of_itself():
    sample = Sample(photo(SIZE, 1), scattered(), "a", tuple(range(5)))
    assert View(np.arange(5)).sample(sample) is sample
