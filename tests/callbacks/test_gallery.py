"""What a run leaves for its gallery: the right masks, small, and the same ones in any order."""

import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samref.callbacks.gallery import Gallery, data_name
from samref.callbacks.outcome import Outcome
from samref.callbacks.selection import Selection, merged
from samref.config.compose import compose_config
from samref.engine import runner
from samref.errors import ConfigError
from samref.geometry.masks import pair_iou
from samref.report.gallery import GalleryItem, Heading
from samref.structures import Failure, Prompts, Refinement, Sample
from samref.visualization.gallery_items import (
    MAX_PICTURE_BYTES,
    SMALLEST_SIDE,
    encode_jpeg,
    heat_window,
    make_gallery_item,
    measure,
    picture_side,
    surroundings,
)
from tests.factories import blob, make_davis585, make_folder, photo, rough, save_mask


def refined(sample, flags=None, prompts=None):
    count = len(sample.masks)
    return Refinement(
        masks=np.array([rough(mask, k) for k, mask in enumerate(sample.masks)]).reshape(sample.masks.shape),
        chosen=np.ones(count, np.int64),
        predicted_iou=np.full(count, 0.9, np.float32),
        iou_predictions=np.tile(np.float32([0.5, 0.9, 0.7]), (count, 1)),
        prompts=prompts or Prompts(),
        flags=flags or ("refined",) * count,
    )


def sample_of(size=(60, 90), objects=2, truth=True, seed=0):
    true_masks = np.array([blob(size, seed + k) for k in range(objects)])
    coarse = np.array([rough(mask, seed + k) for k, mask in enumerate(true_masks)])
    names = tuple(f"object{k}" for k in range(objects))
    return Sample(photo(size, seed), coarse, "image", names, truth=true_masks if truth else None)


def made(image_id, object_id, numbers):
    return GalleryItem(image_id, object_id, "refined", numbers, b"", (1, 1), (0, 0, 1, 1), {})


def offered(scores, count, seed=0, order=None, parts=1):
    """A selection that was offered masks of these gains, by `parts` processes."""
    selections = [Selection(count, seed) for _ in range(parts)]
    for place, k in enumerate(range(len(scores)) if order is None else order):
        gain, agreement = scores[k]
        numbers = {"gain": gain, "agreement": agreement}
        selections[place % parts].offer(f"i{k}", "o", numbers, lambda k=k, n=numbers: made(f"i{k}", "o", n))
    return merged(selections)


def offer(gallery, refinement, sample):
    outcome = Outcome(refinement)
    gallery.image_step(sample, outcome)
    gallery.on_test_batch_end(None, None, outcome, sample, 0)


fractions = st.integers(-20, 20).map(lambda k: k / 20)
scores = st.lists(st.tuples(fractions, fractions.map(abs)), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(scores=scores, count=st.integers(1, 12), data=st.data(), parts=st.integers(1, 3))
def test_the_choice_depends_on_neither_order_nor_processes(scores, count, data, parts):
    order = data.draw(st.permutations(range(len(scores))))
    assert offered(scores, count).items() == offered(scores, count, order=order, parts=parts).items()


@settings(max_examples=40, deadline=None)
@given(scores=scores, count=st.integers(4, 24))
def test_the_groups_hold_the_extremes_and_the_page_its_count(scores, count):
    items = offered(scores, count).items()
    assert len({item.image_id for item in items}) == len(items) == min(count, len(scores))
    share = min(count // 4, len(scores))
    gains = sorted(gain for gain, _ in scores)
    found = {name: [e.numbers for e in items if name in e.groups] for name in ("worst", "best", "changed", "random")}
    assert sorted(n["gain"] for n in found["worst"]) == gains[:share]
    assert sorted(n["gain"] for n in found["best"]) == gains[len(gains) - share :]
    assert sorted(n["agreement"] for n in found["changed"]) == sorted(a for _, a in scores)[:share]
    assert len(found["random"]) >= share


def test_the_random_group_changes_with_the_seed_only():
    many = [(0.0, 1.0)] * 200
    names = [{e.image_id for e in offered(many, 8, seed).items()} for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]


def test_a_mask_that_leads_nowhere_is_never_drawn_and_nothing_piles_up():
    selection, drawn = Selection(4, 0), []
    for k in range(500):
        numbers = {"gain": k % 7 / 10, "agreement": 0.5 + k % 5 / 10}
        selection.offer(f"i{k}", "o", numbers, lambda k=k, n=numbers: drawn.append(k) or made(f"i{k}", "o", n))
    assert len(drawn) < 100
    assert sum(len(entries) for entries in selection.leaders.values()) <= 5 * 4


def test_without_truth_the_least_trusted_masks_lead():
    selection = Selection(6, 0)
    for k in range(20):
        numbers = {"agreement": 1 - k / 40, "predicted_iou": k / 20}
        selection.offer(f"i{k}", "o", numbers, lambda k=k, n=numbers: made(f"i{k}", "o", n))
    groups = {name: {e.image_id for e in selection.items() if name in e.groups} for name in ("changed", "unsure")}
    assert groups == {"changed": {"i19", "i18"}, "unsure": {"i0", "i1"}}


def test_scored_masks_are_shown_by_score_and_kept_ones_by_how_surely():
    gallery = Gallery(Path("unused"), 6, 0, lambda: Heading("t"))
    for k in range(12):
        sample = replace(sample_of(objects=2, truth=False, seed=2 * k), image_id=f"i{k}")
        result = refined(sample, ("refined", "kept"))
        result.scores = np.float32([k / 20, k / 40])
        result.reasons = ("voted", "kept: edges")
        result.rejected = {1: sample.masks[0]}
        offer(gallery, result, sample)
    items = gallery.selection.items()
    assert {(e.image_id, e.object_id) for e in items if "doubtful" in e.groups} == {("i0", "object0")}
    assert [(e.image_id, e.object_id) for e in items if "kept" in e.groups] == [("i11", "object1")]
    for item in items:
        assert (item.mask("rejected") is not None) == (item.flag == "kept")
        assert item.reason == ("kept: edges" if item.flag == "kept" else "voted")


def test_measures_are_those_of_the_masks():
    sample = sample_of()
    result = refined(sample)
    numbers = measure(sample, result, 1, {"refined_iou": [0.1, 0.2]})
    assert numbers["coarse_iou"] == pair_iou(sample.masks[1], sample.truth[1])
    assert numbers["refined_iou"] == 0.2
    assert numbers["gain"] == pytest.approx(0.2 - numbers["coarse_iou"])
    assert numbers["agreement"] == pair_iou(sample.masks[1], result.masks[1])
    assert set(measure(sample_of(truth=False), result, 1, {})) == {"predicted_iou", "agreement"}


def test_a_refiner_that_predicts_nothing_is_not_called_unsure():
    sample = sample_of(truth=False)
    result = refined(sample)
    result.predicted_iou[:] = 0
    assert "predicted_iou" not in measure(sample, result, 0, {})


def test_an_item_holds_masks_and_prompts_in_the_frame_of_its_picture():
    sample = sample_of(size=(60, 90), objects=1)
    x0, y0, x1, y1 = 40, 20, 59, 39
    sample.masks[0] = sample.truth[0] = False
    sample.masks[0, y0 : y1 + 1, x0 : x1 + 1] = sample.truth[0, y0 : y1 + 1, x0 : x1 + 1] = True
    prompts = Prompts(
        point_coords=np.float32([[[50, 30], [0, 0]]]),
        point_labels=np.array([[1, -1]]),
        boxes=np.float32([[x0, y0, x1, y1]]),
    )
    result = refined(sample, prompts=prompts)
    result.masks[0] = sample.masks[0]
    item = make_gallery_item(sample, result, 0, {"agreement": 1.0})
    assert item.window == (40 - 24, 0, 60 + 24, 60)
    assert item.size == (60, 68)
    left, top = item.window[:2]
    assert item.box == (x0 - left, y0 - top, x1 + 1 - left, y1 + 1 - top)
    assert item.points == ((50.5 - left, 30.5 - top, 1),)
    for layer in ("coarse", "refined", "truth"):
        assert (item.mask(layer) == sample.masks[0][:, left:84]).all()
    decoded = cv2.imdecode(np.frombuffer(item.picture, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(decoded.astype(int) - sample.image[:, left:84]).mean() < 12
    assert [predicted for predicted, _ in item.candidates] == pytest.approx([0.5, 0.9, 0.7])
    assert pickle.loads(pickle.dumps(item)) == item


def test_large_surroundings_are_shrunk_and_noise_still_fits():
    size = (1200, 1600)
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    mask = np.ones((1, *size), bool)
    sample = Sample(noise, mask, "big", (1,))
    item = make_gallery_item(sample, refined(sample), 0, {"agreement": 1.0})
    assert max(item.size) == picture_side(1)
    assert max(make_gallery_item(sample, refined(sample), 0, {}, picture_side(5000)).size) == SMALLEST_SIDE
    assert len(item.picture) <= MAX_PICTURE_BYTES
    assert len(encode_jpeg(noise[:512, :512])) <= MAX_PICTURE_BYTES


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_surroundings_hold_mask_and_box_and_lie_in_the_image(seed):
    rng = np.random.default_rng(seed)
    mask = blob((50, 70), seed)
    corner = rng.integers(0, (60, 40))
    box = np.float32([[*corner, *np.minimum(corner + rng.integers(1, 30, 2), (69, 49))]])
    x0, y0, x1, y1 = surroundings([mask], Prompts(boxes=box))
    assert 0 <= x0 < x1 <= 70
    assert 0 <= y0 < y1 <= 50
    assert mask[y0:y1, x0:x1].sum() == mask.sum()
    assert x0 <= box[0, 0]
    assert box[0, 2] < x1
    assert y0 <= box[0, 1]
    assert box[0, 3] < y1


@pytest.mark.parametrize("size", [(60, 120), (120, 60), (90, 90)])
def test_heat_lies_where_the_mask_prompt_has_its_peak(size):
    grid, (y, x) = 64, (40, 35)
    logits = np.full((grid, grid), -5, np.float32)
    cell = grid / max(size)
    logits[int((y + 0.5) * cell), int((x + 0.5) * cell)] = 10
    window = (20, 20, 60, 60)
    heat = heat_window(logits, size, window)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    tolerance = 1 / cell + 1
    assert abs(row * 40 / heat.shape[0] + 20 - y) <= tolerance
    assert abs(column * 40 / heat.shape[1] + 20 - x) <= tolerance
    assert 0 <= heat.min() <= heat.max() <= 1


def test_regions_of_a_category_show_its_truth():
    labels = np.zeros((60, 90), np.uint8)
    labels[10:30, 10:40] = 7
    mask = labels[None] == 7
    sample = Sample(photo((60, 90), 0), mask, "voc", ((7, 1),), label_map=labels, meta={"categories": (7,)})
    item = make_gallery_item(sample, refined(sample), 0, {"agreement": 1.0})
    assert item.object_id == "7 1"
    x0, y0, x1, y1 = item.window
    assert (item.mask("truth") == (labels == 7)[y0:y1, x0:x1]).all()


def test_empty_masks_and_what_failed_are_groups_that_nothing_is_counted_of():
    sample = sample_of(objects=2, truth=False)
    sample.masks[0] = False
    gallery = Gallery(Path("unused"), 8, 0, lambda: Heading("t"))
    offer(gallery, None, Failure("image", "no image"))
    result = refined(sample, ("empty", "kept"))
    result.masks[0] = False
    offer(gallery, result, sample)
    items = {e.flag: e for e in gallery.selection.items()}
    assert (items["kept"].object_id, items["empty"].object_id) == ("object1", "object0")
    assert (items["failed"].image_id, items["failed"].reason, items["failed"].picture) == ("image", "no image", b"")
    assert items["empty"].reason == "the coarse mask is empty: there is nothing to refine"
    assert items["empty"].window == (0, 0, 90, 60)
    assert [items[flag].groups for flag in ("empty", "failed")] == [("empty",), ("failed",)]
    assert gallery.selection.seen == 1


def test_a_resumed_run_shows_what_is_empty_and_what_failed(tmp_path):
    data = make_folder(tmp_path / "data", names=["a", "b", "c"])
    save_mask(data / "masks" / "b.png", np.zeros_like(cv2.imread(str(data / "masks" / "b.png"), 0), bool))
    (data / "masks" / "c.png").write_bytes(b"none")
    words = ["dataset=folder", f"dataset.images={data / 'images'}", f"dataset.masks={data / 'masks'}", "backbone=tiny"]
    cfg = compose_config([*words, f"paths.outputs={tmp_path}", "callbacks.progress=false", "on_error=skip"])
    pages = []
    for _ in range(2):
        page = Path(runner.run(cfg)["folder"]) / "gallery.html"
        pages.append(
            [word in page.read_text() for word in ('data-group="empty"', 'data-group="failed"', "1 of 1 masks")]
        )
        page.unlink()
    assert pages == [[True] * 3] * 2


def test_the_data_are_named_by_the_path_of_the_masks():
    assert data_name({"dataset": {"images": "/a/b/images", "masks": "masks"}}) == "masks"
    assert data_name({"dataset": {"predictions": "/a/b/c.json", "annotations": "/x/y.json"}}) == "b/c.json"
    assert data_name({"dataset": {"root": None}, "hydra_choices": {"dataset": "scenes"}}) == "scenes"


@pytest.mark.parametrize("count", [True, -3])
def test_a_count_that_is_none_is_refused(count):
    with pytest.raises(ConfigError, match=f"callbacks.gallery.count is {count}; expected how many"):
        Gallery(Path("unused"), count, 0, lambda: Heading("t"))


def test_a_run_leaves_its_gallery(tmp_path):
    root = make_davis585(tmp_path / "davis", sequences=2, frames=2, objects=2)
    words = ["dataset=davis585", f"dataset.root={root}", "backbone=tiny", f"paths.outputs={tmp_path / 'out'}"]
    cfg = compose_config([*words, "callbacks.progress=false", "callbacks.gallery.count=5", "logger=none"])
    folder = runner.run(cfg, "python run.py a<b")["folder"]
    text = (tmp_path / "out" / folder / "gallery.html").read_text()
    assert text.count('class="item"') == 5
    assert "<h1>" + "/".join(root.parts[-2:]) in text
    assert "5 of 8 masks" in text
    assert "a&lt;b" in text
    assert "boundary_iou" in text
    cfg.callbacks.gallery, cfg.force = None, True
    (tmp_path / "out" / folder / "gallery.html").unlink()
    runner.run(cfg)
    assert not (tmp_path / "out" / folder / "gallery.html").exists()
