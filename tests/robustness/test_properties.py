"""What holds whatever the masks: order, padding of the list, flips, repetition, processes."""

import os
import socket

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.fabric.utilities.rank_zero import rank_zero_only

from samref.backbones.tiny import TinySam
from samref.config.compose import build, compose_config
from samref.engine import runner
from samref.errors import ConfigError
from samref.geometry.frames import resized_size
from samref.geometry.masks import crop_mask, distance_inside
from samref.prompts.excavation import Frame
from samref.structures import Embedding
from tests.backbones.prompting import random_image
from tests.factories import make_davis585
from tests.robustness.undisturbed import contents, in_child
from tests.strategies import masks as any_mask

IMG_SIZE, GRID = 128, 64
FEW = settings(max_examples=15)


@pytest.fixture(scope="module")
def refiner():
    config = compose_config(["backbone=tiny"])
    return build(config.refiner, backbone=TinySam(device="cpu"), prompts=build(config.prompts))


@pytest.fixture(scope="module")
def tight():
    """All three prompts, boxes without context."""
    return build(compose_config(["backbone=tiny", "prompts.box.lam=0"]).prompts)


@st.composite
def mask_lists(draw):
    first = draw(any_mask(max_side=40, min_side=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    more = [rng.random(first.shape) < rng.uniform(0, 1) for _ in range(draw(st.integers(1, 4)))]
    return np.stack([first, *more])


def equal(a, b):
    prompts = (a.prompts.point_coords, a.prompts.boxes, a.prompts.mask_input), (
        b.prompts.point_coords, b.prompts.boxes, b.prompts.mask_input,
    )  # fmt: skip
    return (
        np.array_equal(a.masks, b.masks)
        and np.array_equal(a.iou_predictions, b.iou_predictions)
        and a.flags == b.flags
        and all(np.array_equal(one, other, equal_nan=True) for one, other in zip(*prompts, strict=True))
    )


def rows(result, order):
    from dataclasses import replace

    return replace(
        result,
        masks=result.masks[order],
        iou_predictions=result.iou_predictions[order],
        flags=tuple(result.flags[k] for k in order),
        prompts=result.prompts[np.asarray(order)],
    )


@FEW
@given(masks=mask_lists(), seed=st.integers(0, 99))
def test_refinement_commutes_with_the_order_of_masks(refiner, masks, seed):
    order = np.random.default_rng(seed).permutation(len(masks))
    image = random_image(masks.shape[1:], seed)
    assert equal(rows(refiner.refine(image, masks), order), refiner.refine(image, masks[order]))


@FEW
@given(masks=mask_lists(), seed=st.integers(0, 99))
def test_empty_masks_anywhere_in_the_list_change_nothing_of_the_others(refiner, masks, seed):
    places = np.sort(np.random.default_rng(seed).choice(len(masks) + 3, len(masks), replace=False))
    padded = np.zeros((len(masks) + 3, *masks.shape[1:]), bool)
    padded[places] = masks
    image = random_image(masks.shape[1:], seed)
    assert equal(rows(refiner.refine(image, padded), places), refiner.refine(image, masks))


@FEW
@given(masks=mask_lists())
def test_repetition_gives_the_same_bits(refiner, masks):
    image = random_image(masks.shape[1:])
    assert equal(refiner.refine(image, masks), refiner.refine(image.copy(), masks.copy()))


@settings(max_examples=60)
@given(mask=any_mask(max_side=40, min_side=2))
def test_prompts_commute_with_a_horizontal_flip(tight, mask):
    """Of image and mask together.

    Tight boxes and labels do so always; a point does where no other pixel is as far from the border of the mask, for of
    several the first in row-major order is the point; the mask prompt where the point does and the width is not padded,
    for the padding stays at the right. Context-aware boxes do so only up to a cell of the features, which are looked up
    by the nearest cell to the left.
    """
    width = mask.shape[1]
    size = resized_size(mask.shape, IMG_SIZE)
    nothing = Embedding(torch.zeros(1, 4, 16, 16), mask.shape, size)
    frame = Frame(IMG_SIZE, (GRID, GRID))
    plain = tight([mask], nothing, frame)
    flipped = tight([np.ascontiguousarray(mask[:, ::-1])], nothing, frame)

    x0, y0, x1, y1 = plain.boxes[0].tolist()
    assert flipped.boxes[0].tolist() == [width - 1 - x1, y0, width - 1 - x0, y1]
    assert flipped.point_labels.tolist() == plain.point_labels.tolist()
    crop = crop_mask(mask)
    squared = np.rint(distance_inside(crop).astype(np.float64) ** 2)
    (px, py), (qx, qy) = plain.point_coords[0, 0].astype(int), flipped.point_coords[0, 0].astype(int)
    assert squared[qy - crop.y, width - 1 - qx - crop.x] == squared.max(), "the flipped point is as deep"
    if (squared == squared.max()).sum() == 1:
        assert (qx, qy) == (width - 1 - px, py)
        if size[1] == IMG_SIZE:
            # Where the resampled mask is 0 but for rounding, that decides its sign.
            assert np.isclose(plain.mask_input, flipped.mask_input[..., ::-1], atol=1e-3).mean() > 0.995


# Several processes ---------------------------------------------------------------------------------------------------


def score(root, out, *overrides):
    base = ["dataset=davis585", f"dataset.root={root}", "backbone=tiny", f"paths.outputs={out}", "save_masks=true"]
    quiet = ["callbacks.progress=false", "logger=none", "backbone.device=cpu"]
    report = runner.run(compose_config([*base, *quiet, *overrides]))
    return {key: report[key] for key in ("metrics", "counts", "failures", "folder")}


def as_rank(rank, processes, port):
    """Makes this process one of several, as torchrun does."""
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes),
        "GROUP_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip
    rank_zero_only.rank = rank


@pytest.mark.parametrize("images", [5, 1], ids=["unequal shares", "nothing for the second"])
def test_two_processes_report_and_write_what_one_does(tmp_path, images):
    from concurrent.futures import ThreadPoolExecutor

    root = make_davis585(tmp_path / "data", sequences=1, frames=images, objects=2)
    alone = in_child(lambda: score(root, tmp_path / "alone"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ddp = ("trainer.devices=2", "+trainer.strategy=ddp")
    with ThreadPoolExecutor(2) as pool:
        both = list(
            pool.map(
                lambda rank: in_child(
                    lambda: score(root, tmp_path / "both", *ddp), before=lambda: as_rank(rank, 2, port)
                ),
                range(2),
            )
        )
    assert alone[0] == both[0][0] == both[1][0] == "done", (alone, both)
    mine, theirs = alone[1], both[0][1]
    assert {**mine, "folder": 0} == {**theirs, "folder": 0}
    one, two = contents(tmp_path / "alone"), contents(tmp_path / "both")
    compared = [path for path in one if path.endswith((".png", "samples.csv")) and "picture" not in path]
    assert len(compared) == 2 * images + 1
    for path in compared:
        assert two[path] == one[path], path


def test_strategies_whose_results_stay_in_their_processes_are_refused(tmp_path):
    root = make_davis585(tmp_path / "data", sequences=1, frames=1)
    with pytest.raises(ConfigError, match="ddp"):
        score(root, tmp_path / "out", "trainer.devices=2", "+trainer.strategy=ddp_fork")
