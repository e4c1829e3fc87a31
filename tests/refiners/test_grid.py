import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as run_lengths
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from samref.backbones.tiny import TinyHqSam, TinySam
from samref.errors import ConfigError
from samref.io.coco_masks import decode, encode_rle
from samref.refiners import mask_generator
from samref.refiners.grid import BestOverlap, Grid, UnionInside, overlaps
from samref.stopwatch import Stopwatch
from samref.structures import EMPTY, FALLBACK, REFINED, Sample
from tests.factories import blob, photo

SIZE = (48, 80)
# A random model is unsure of everything: what a trained one would drop must pass here.
LOOSE = {
    "points_per_side": 4,
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 1.0,
    "chunk_size": 64,
}


def strip(start, stop, size=(4, 20)):
    mask = np.zeros(size, bool)
    mask[:, start:stop] = True
    return mask


def unpacked(rle):
    return None if rle is None else decode(rle, (4, 20))


def sample_of(*masks, image_seed=0):
    return Sample(photo(SIZE, image_seed), np.array(masks), "image", tuple(range(len(masks))))


def grid_masks(backbone, image, **options):
    rles = Grid(backbone, BestOverlap(), **{**LOOSE, **options}).generate(image, Stopwatch(backbone.device))
    return [decode(rle, image.shape[:2]) for rle in rles]


GRID = [strip(0, 4), strip(2, 10), strip(8, 12), strip(0, 20)]


def test_best_overlap_is_the_mask_of_highest_iou():
    # With columns 0 to 8: 4/8, 6/10, 0/12, 8/20.
    best = BestOverlap()(encode_rle(strip(0, 8)), [encode_rle(mask) for mask in GRID])
    assert (unpacked(best) == strip(2, 10)).all()


def test_the_first_of_equal_overlaps_is_taken_and_none_of_no_overlap():
    coarse = encode_rle(strip(0, 8))
    tied = BestOverlap()(coarse, [encode_rle(strip(0, 4)), encode_rle(strip(4, 8))])
    assert (unpacked(tied) == strip(0, 4)).all()
    assert BestOverlap()(coarse, [encode_rle(strip(8, 12))]) is None


def test_union_inside_takes_masks_by_the_share_of_their_own_area():
    # Inside columns 0 to 8 lie 1, 6/8, 0 and 8/20 of the grid masks.
    grid, coarse = [encode_rle(mask) for mask in GRID], encode_rle(strip(0, 8))
    assert (unpacked(UnionInside(0.5)(coarse, grid)) == strip(0, 10)).all()
    assert (unpacked(UnionInside(0.75)(coarse, grid)) == strip(0, 4)).all()
    assert (unpacked(UnionInside(0.3)(coarse, grid)) == strip(0, 20)).all()
    assert UnionInside(0.5)(encode_rle(strip(15, 20)), grid) is None


@given(seed=st.integers(0, 10**6), count=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_overlaps_of_run_lengths_are_those_of_the_pixels(seed, count):
    rng = np.random.default_rng(seed)
    masks = rng.random((count + 1, 7, 9)) < rng.uniform(0.1, 0.9)
    masks[:, 0, 0] = True
    *grid, coarse = masks
    rles = [encode_rle(mask) for mask in grid]
    ious = [(mask & coarse).sum() / (mask | coarse).sum() for mask in grid]
    shares = [(mask & coarse).sum() / mask.sum() for mask in grid]
    assert overlaps(rles, encode_rle(coarse), of_grid=False) == pytest.approx(ious, abs=1e-12)
    assert overlaps(rles, encode_rle(coarse), of_grid=True) == pytest.approx(shares, abs=1e-12)


class Hq(torch.nn.Module):
    """A module of HQ-SAM's package as SAM's own tools call it: no early features, no HQ token."""

    img_size = 1024

    def __init__(self, module, **more):
        super().__init__()
        self.module, self.more = module, more

    def forward(self, *args, **kwargs):
        outputs = self.module(*args, **kwargs, **self.more)
        return outputs if self.more else outputs[0]


def assert_those_of_the_package(backbone, sam, image, options):
    records = SamAutomaticMaskGenerator(sam, output_mode="binary_mask", **options).generate(image)
    masks = grid_masks(backbone, image, **options)
    assert len(masks) == len(records) > 1
    for mask, record in zip(masks, records, strict=True):
        assert (mask != record["segmentation"]).mean() < 1e-3
    return masks


@pytest.mark.parametrize("size", [(48, 80), (300, 200)])
def test_grid_masks_are_those_of_the_package(size):
    backbone = TinySam(device="cpu")
    options = {"points_per_side": 4, "pred_iou_thresh": 0.01, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
    sam = Sam(backbone.image_encoder, backbone.prompt_encoder, backbone.mask_decoder)
    masks = assert_those_of_the_package(backbone, sam, photo(size, 3), options)
    assert len(masks) < 3 * 4 * 4


@pytest.mark.weights
def test_the_real_models_grid_masks_are_filtered_as_the_package_does(mobile_sam):
    image = np.full((120, 160, 3), (90, 140, 90), dtype=np.uint8)
    image[20:80, 15:70] = (200, 40, 40)
    y, x = np.mgrid[:120, :160]
    disc = (y - 70) ** 2 + (x - 115) ** 2 < 30**2
    image[disc] = (40, 40, 200)
    options = {"points_per_side": 2, "pred_iou_thresh": 0.88, "stability_score_thresh": 0.95, "box_nms_thresh": 0.7}
    encoder, decoder = (
        Hq(mobile_sam.image_encoder),
        Hq(mobile_sam.mask_decoder, hq_token_only=False, interm_embeddings=None),
    )
    masks = assert_those_of_the_package(mobile_sam, Sam(encoder, mobile_sam.prompt_encoder, decoder), image, options)
    assert len(masks) < 3 * 2 * 2
    rles = [encode_rle(mask) for mask in masks]
    best = decode(BestOverlap()(encode_rle(np.roll(disc, 6, axis=1)), rles), disc.shape)
    assert (best & disc).sum() / (best | disc).sum() > 0.95


def test_hq_sams_masks_are_generated_too():
    assert grid_masks(TinyHqSam(device="cpu"), photo(SIZE, 3))


def test_results_do_not_depend_on_how_many_points_are_decoded_together(monkeypatch):
    backbone, image = TinySam(device="cpu"), photo(SIZE, 3)
    whole = grid_masks(backbone, image)
    chunked = grid_masks(backbone, image, chunk_size=5)
    monkeypatch.setattr(mask_generator, "MAX_LOGITS", 1)
    one_by_one = grid_masks(backbone, image)
    for other in (chunked, one_by_one):
        assert len(other) == len(whole)
        assert all((a != b).mean() < 1e-3 for a, b in zip(whole, other, strict=True))


def test_a_large_image_is_decoded_in_small_chunks(monkeypatch):
    counts, backbone = [], TinySam(device="cpu")
    plain = backbone.decode
    monkeypatch.setattr(backbone, "decode", lambda e, prompts: counts.append(len(prompts)) or plain(e, prompts))
    # The model's frame is 128 x 128, three candidates a point.
    monkeypatch.setattr(mask_generator, "MAX_LOGITS", 5 * 3 * 128 * 128)
    grid_masks(backbone, photo(SIZE, 3))
    assert counts == [5, 5, 5, 1]


def test_the_image_is_encoded_once_and_only_for_masks(monkeypatch):
    backbone, encoded = TinySam(device="cpu"), []
    plain = backbone.encode
    monkeypatch.setattr(backbone, "encode", lambda image: encoded.append(1) or plain(image))
    grid, empty = Grid(backbone, BestOverlap(), **LOOSE), np.zeros(SIZE, bool)
    assert grid.refine_sample(sample_of(empty)).flags == (EMPTY,)
    assert not encoded
    result = grid.refine_sample(sample_of(empty, blob(SIZE, 1), blob(SIZE, 2)))
    assert len(encoded) == 1
    assert result.flags == (EMPTY, REFINED, REFINED)
    assert result.candidate_iou is None


def test_the_refinement_is_the_grid_mask_that_the_rule_names():
    backbone, coarse = TinySam(device="cpu"), blob(SIZE, 1)
    sample = sample_of(coarse)
    masks = grid_masks(backbone, sample.image)
    ious = [(mask & coarse).sum() / (mask | coarse).sum() for mask in masks]
    best = Grid(backbone, BestOverlap(), **LOOSE).refine_sample(sample)
    assert (best.masks[0] == masks[int(np.argmax(ious))]).all()
    inside = [mask for mask in masks if mask.any() and (mask & coarse).sum() / mask.sum() > 0.1]
    merged = Grid(backbone, UnionInside(0.1), **LOOSE).refine_sample(sample)
    assert inside
    assert (merged.masks[0] == np.any(inside, axis=0)).all()


def test_without_a_grid_mask_the_coarse_mask_is_kept():
    coarse = blob(SIZE, 1)
    grid = Grid(TinySam(device="cpu"), BestOverlap(), **{**LOOSE, "pred_iou_thresh": 100.0})
    result = grid.refine_sample(sample_of(coarse))
    assert result.flags == (FALLBACK,)
    assert (result.masks[0] == coarse).all()


def test_stages_add_up_to_the_time_that_passed():
    import time

    grid = Grid(TinySam(device="cpu"), BestOverlap(), **LOOSE)
    sample = sample_of(blob(SIZE, 1))
    start = time.perf_counter()
    timing = grid.refine_sample(sample).timing
    passed = time.perf_counter() - start
    assert min(timing["encode"], timing["decode"], timing["postprocess"]) > 0
    assert sum(timing.values()) <= passed


def test_run_lengths_come_in_the_form_that_coco_tools_read():
    backbone = TinySam(device="cpu")
    rles = Grid(backbone, BestOverlap(), **LOOSE).generate(photo(SIZE, 0), Stopwatch(torch.device("cpu")))
    assert all((run_lengths.decode(rle) > 0).shape == SIZE for rle in rles)


def test_values_out_of_range_are_named():
    with pytest.raises(ConfigError, match="points_per_side=0"):
        Grid(TinySam(device="cpu"), BestOverlap(), **{**LOOSE, "points_per_side": 0})
    with pytest.raises(ConfigError, match="inside is 1; expected a share"):
        UnionInside(1)
