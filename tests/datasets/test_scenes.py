"""Procedural scenes: exact masks, any process, any length."""

from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from samref.config.compose import build, compose_config
from samref.datasets.scenes.render import Pose, contrasting, place_things, render_scene, silhouette
from samref.datasets.scenes.scenes import Scenes, make_scene
from samref.datasets.scenes.shapes import KINDS, PAINTS, Part, Thing, draw_thing, ellipse
from samref.datasets.scenes.textures import GROUNDS
from samref.errors import ConfigError
from samref.refiners.samrefiner import SAMRefiner
from tests.factories_benchmarks import refined

SMALL = {"size": (96, 128)}


# What a refiner needs of a backbone; images are encoded once for both refiners here.
PARTS = ("name", "img_size", "embedding_size", "mask_input_size", "iou_head", "device", "decode")


def pair_ious(masks, truth):
    return [(a & b).sum() / (a | b).sum() for a, b in zip(masks, truth, strict=True)]


def test_a_sample_follows_the_options():
    dataset = Scenes(length=6, objects=(1, 3), seed=3, **SMALL)
    assert len(dataset) == 6
    for k in range(6):
        sample = dataset[k]
        assert sample.image.shape == (96, 128, 3)
        assert sample.image.dtype == np.uint8
        assert sample.image_id == dataset.image_id(k) == f"scene_{k:04d}"
        assert 1 <= len(sample.masks) == len(sample.truth) == len(sample.object_ids) <= 3
        assert sample.truth.any(axis=(1, 2)).all()
        assert (sample.truth.sum(axis=0) <= 1).all()
    with pytest.raises(IndexError):
        dataset[6]


def test_coarse_masks_are_spoiled_to_the_protocols_interval():
    for sample in (Scenes(length=3, **SMALL)[k] for k in range(3)):
        iou = (sample.masks & sample.truth).sum((1, 2)) / (sample.masks | sample.truth).sum((1, 2))
        assert ((iou >= 0.75) & (iou <= 0.85)).all()


def test_a_scene_depends_on_index_and_seed_alone():
    scene = Scenes(length=5, objects=(2, 2), seed=5, **SMALL)[4]
    make_scene.cache_clear()
    again = Scenes(length=9, objects=(2, 2), seed=5, **SMALL)[4]
    assert (scene.image == again.image).all()
    assert (scene.masks == again.masks).all()
    for other in (Scenes(length=5, objects=(2, 2), seed=6, **SMALL)[4], Scenes(5, (96, 128), (2, 2), 5)[3]):
        assert (scene.image != other.image).any()


def test_changing_a_sample_does_not_change_the_next_reading():
    dataset = Scenes(length=1, **SMALL)
    dataset[0].image[:] = 0
    dataset[0].masks[:] = False
    assert dataset[0].image.any()
    assert dataset[0].masks.any()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_crowded_scenes_keep_every_thing_mostly_in_sight(seed, count):
    rng = np.random.default_rng(seed)
    things = [draw_thing(rng, str(rng.choice(list(KINDS))), PAINTS[0], PAINTS) for _ in range(count)]
    size = (120, 160)
    poses = place_things(rng, things, size)
    hidden = np.zeros(size, bool)
    for thing, pose in reversed(list(zip(things, poses, strict=True))):
        mask = silhouette(thing, pose, size)
        assert (mask & ~hidden).sum() >= 0.5 * mask.sum() - 8
        hidden |= mask


def test_a_hole_is_no_part_of_a_thing():
    ring = Thing((Part(ellipse(0, 0, 1, 1), PAINTS[0], holes=(ellipse(0, 0, 0.5, 0.5),)),))
    mask = silhouette(ring, Pose(100, 100, 80, 0.3), (201, 201))
    # OpenCV's outlines are about a pixel wide, in picture and mask alike.
    assert mask.sum() == pytest.approx(np.pi * (80**2 - 40**2), abs=2 * np.pi * (80 + 40))
    assert not mask[100, 100]
    assert ndimage.label(~mask)[1] == 2


def test_masks_are_exactly_where_things_were_painted(monkeypatch):
    # Every thing in its own pure gray on black, without shadows and camera: the picture then shows whose a pixel is.
    grays, given = (0.25, 0.5, 0.75, 1.0), {}

    def flat(rng, part, layer, pose, window):
        gray = given.setdefault(pose, grays[len(given) % 4])
        return np.full((*layer.shape, 3), gray, np.float32)

    black = {"black": lambda rng, size: np.zeros((*size, 3), np.float32)}
    monkeypatch.setattr("samref.datasets.scenes.render.GROUNDS", black)
    monkeypatch.setattr("samref.datasets.scenes.render._surface", flat)
    monkeypatch.setattr("samref.datasets.scenes.render._cast_shadow", lambda *_: None)
    monkeypatch.setattr("samref.datasets.scenes.render._photograph", lambda _, canvas, size: canvas)
    canvas, truth = render_scene(np.random.default_rng(8), (120, 160), 4)
    quads = canvas[..., 0].reshape(120, 2, 160, 2).swapaxes(1, 2).reshape(120, 160, 4)
    for mask, gray in zip(truth, grays, strict=True):
        pure = np.abs(quads - gray) < 1e-6
        assert mask[pure.all(axis=2)].all()
        assert pure.any(axis=2)[mask].mean() > 0.97


@pytest.mark.parametrize("ground", GROUNDS)
def test_things_stand_out_from_the_ground_in_the_picture(ground, monkeypatch):
    monkeypatch.setattr("samref.datasets.scenes.render.GROUNDS", {ground: GROUNDS[ground]})
    for seed in range(3):
        image, truth = render_scene(np.random.default_rng(seed), (120, 160), 2)
        outside = ~ndimage.binary_dilation(truth.any(axis=0), iterations=3)
        for mask in truth:
            contrast = np.abs(image[mask].astype(float).mean(0) - image[outside].astype(float).mean(0)).sum()
            assert contrast > 20


def test_paints_too_near_to_the_ground_are_left_out():
    gray = np.full((4, 4, 3), 0.9, np.float32)
    kept = contrasting(gray)
    assert (0.90, 0.90, 0.88) not in kept
    assert (0.17, 0.17, 0.19) in kept


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_thing_is_in_one_piece_of_about_unit_size(kind):
    for seed in range(4):
        thing = draw_thing(np.random.default_rng(seed), kind, PAINTS[1], PAINTS)
        mask = silhouette(thing, Pose(150, 150, 90, 0.0), (301, 301))
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
        assert 0.05 < mask.mean() < 0.6
        assert not mask[0].any()
        assert not mask[:, 0].any()


def test_refined_masks_are_written_one_file_an_object(tmp_path):
    dataset = Scenes(length=1, **SMALL)
    sample = dataset[0]
    dataset.writer(tmp_path).write(sample, refined(sample.truth))
    for name, mask in zip(sample.object_ids, sample.truth, strict=True):
        assert (np.array(Image.open(tmp_path / "scene_0000" / f"{name}.png")) == mask * 255).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"length": 0}, "length is 0"),
        ({"size": (10, 200)}, r"size is \[10, 200\]; expected \[H, W\]"),
        ({"objects": (3, 2)}, r"objects is \[3, 2\]; expected \[fewest, most\]"),
        ({"objects": (1, 99)}, r"within 1 to 12"),
    ],
)
def test_options_out_of_range_are_named(options, words):
    with pytest.raises(ConfigError, match=words):
        Scenes(**options)


@pytest.mark.weights
def test_the_real_model_segments_the_things_and_improves_their_masks(mobile_sam):
    encode = lru_cache(lambda data: mobile_sam.encode(np.frombuffer(data, np.uint8).reshape(480, 640, 3)))
    backbone = SimpleNamespace(**{name: getattr(mobile_sam, name) for name in PARTS})
    backbone.encode = lambda image: encode(image.tobytes())
    boxed = SAMRefiner(backbone, build(compose_config(["prompts=box"]).prompts))
    full = SAMRefiner(backbone, build(compose_config(["prompts=all"]).prompts))
    found, coarse, better = [], [], []
    for sample in (Scenes(length=3)[k] for k in range(3)):
        found += pair_ious(boxed.refine(sample.image, sample.truth).masks, sample.truth)
        coarse += pair_ious(sample.masks, sample.truth)
        better += pair_ious(full.refine(sample.image, sample.masks).masks, sample.truth)
    assert np.mean(found) > 0.8
    assert np.mean(better) > np.mean(coarse) + 0.03
