import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from samref.config.compose import compose_config
from samref.errors import ConfigError
from samref.prompts.split_then_merge import SplitThenMerge, region_masks, split, split_then_merge
from tests.prompts.algorithm1 import algorithm1, differences

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24))
sparse = st.builds(
    lambda seed, density, size: np.random.default_rng(seed).random((size, size)) < density,
    st.integers(0, 10**6),
    st.floats(0.01, 0.3),
    st.integers(10, 40),
)
lumpy = sparse.map(lambda mask: ndimage.binary_dilation(mask, np.ones((2, 3))))


def box(region):
    y, x = np.nonzero(region)
    return x.min(), y.min(), x.max(), y.max()


def grown(mask, mu, rule):
    """The rules whose regions grow while they are compared, on whole masks and with plain loops."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    regions = [labels == k for k in range(1, count + 1)]
    regions.sort(key=lambda region: np.flatnonzero(region)[0])
    if rule == "released" and count > 1:
        regions = [region for region in regions if region.sum() >= 5]
    name = list(range(len(regions)))  # which of the grown regions each region now belongs to
    for i in range(len(regions)):
        if rule == "grown" and name[i] != i:
            continue
        for j in range(i + 1, len(regions)):
            a, b = name[i], name[j]
            if a == b or (rule == "grown" and b != j):
                continue
            if joined(regions[a], regions[b], mu, rule):
                regions[a] = regions[a] | regions[b]
                name = [a if other == b else other for other in name]
    merged = [regions[k] for k in set(name)]
    return sorted(merged, key=lambda region: np.flatnonzero(region)[0])


def joined(a, b, mu, rule):
    area = [(x1 - x0 + 1) * (y1 - y0 + 1) for x0, y0, x1, y1 in (box(a), box(b))]
    x0, y0, x1, y1 = box(a | b)
    pixels = [int(a.sum()), int(b.sum())]
    if rule == "grown":
        around = (x1 - x0 + 1) * (y1 - y0 + 1)
        return sum(area) > mu * around and sum(pixels) > mu * around
    around = (x1 - x0) * (y1 - y0)
    density = sum(pixels) / around if around else np.inf
    return sum(area) > mu * around and density > min(0.5, min(pixels[0] / area[0], pixels[1] / area[1]) - 0.1)


def drawn(*rows):
    return np.array([[character != "." for character in row] for row in rows])


def sizes(mask, rule, mu=0.5):
    return [int(region.sum()) for region in region_masks(split_then_merge(mask, mu, rule))]


def same_regions(got, expected):
    return len(got) == len(expected) and all((a == b).all() for a, b in zip(got, expected, strict=True))


def test_the_papers_rule_is_algorithm_1_as_printed():
    wrong, by_growing = differences(range(150))
    assert not wrong
    assert by_growing > 0, "the masks do not distinguish the readings"


@given(masks | lumpy, st.sampled_from([0.0, 0.25, 0.5, 0.9]))
@settings(max_examples=60, deadline=None)
def test_the_papers_rule_is_algorithm_1_on_masks_of_any_kind(mask, mu):
    assert same_regions(region_masks(split_then_merge(mask, mu, "paper")), algorithm1(mask, mu))


@given(masks | lumpy, st.sampled_from([0.25, 0.5]))
@settings(max_examples=40, deadline=None)
def test_the_papers_regions_do_not_depend_on_the_order_in_which_they_are_seen(mask, mu):
    turned = split_then_merge(np.ascontiguousarray(mask[::-1, ::-1]), mu, "paper")[::-1, ::-1]
    labels = split_then_merge(mask, mu, "paper")
    pairs = set(zip(labels.ravel().tolist(), turned.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(labels)) == len(np.unique(turned))


@given(masks | sparse | lumpy, st.sampled_from(["grown", "released"]), st.sampled_from([0.0, 0.25, 0.5, 0.9]))
@settings(max_examples=120, deadline=None)
def test_regions_that_grow_are_those_of_the_plain_nested_loop(mask, rule, mu):
    assert same_regions(region_masks(split_then_merge(mask, mu, rule)), grown(mask, mu, rule))


@given(masks)
@settings(max_examples=50, deadline=None)
def test_regions_are_scipys_and_in_row_major_order(mask):
    labels = split(mask)
    expected, count = ndimage.label(mask, np.ones((3, 3)))
    pairs = {(a, b) for a, b in zip(labels.ravel(), expected.ravel(), strict=True)}
    assert len(pairs) == len(set(labels.ravel())) and labels.max() == count
    firsts = [np.flatnonzero(labels.ravel() == k)[0] for k in range(1, count + 1)]
    assert firsts == sorted(firsts)


@given(masks | lumpy, st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_the_papers_regions_partition_the_mask(mask, mu):
    for rule in ("paper", "grown"):
        assert (region_masks(split_then_merge(mask, mu, rule)).sum(axis=0) == mask).all()


def test_two_halves_with_a_thin_gap_are_one_and_a_far_speck_is_not():
    mask = drawn("###.###........#", "###.###.........", "###.###.........")
    assert sizes(mask, "paper") == [18, 1]


def test_both_ends_of_the_box_around_count_in_the_papers_rule():
    # 1 + 1 pixels against half of 4 and half of 3 columns.
    assert sizes(drawn("#..#"), "paper") == [1, 1]
    assert sizes(drawn("#.#"), "paper") == [2]


def test_box_areas_alone_do_not_join():
    # Two hooks: boxes of 16 each fill the 4 x 9 box around (32 > 18), their 14 pixels do not.
    mask = drawn("####.####", "#.......#", "#.......#", "#.......#")
    assert sizes(mask, "paper") == [7, 7]


def test_regions_join_through_others():
    # Neither pair of three blocks two apart reaches over the middle one; by it, all three are one.
    mask = drawn("##.##.##")
    assert sizes(drawn("##....##"), "paper", mu=0.6) == [2, 2]
    assert sizes(mask, "paper", mu=0.6) == [6]


def test_a_region_that_has_grown_reaches_farther_by_that_rule_alone():
    # 4 and 1 are too few for the 10 around them; 4 + 2 and then 6 + 1 are enough.
    for rule in ("paper", "grown"):
        assert sizes(drawn("####.....#"), rule) == [4, 1]
    assert sizes(drawn("####.##..#"), "grown") == [7]
    # As split, the last pixel joins the pair beside it, 2 + 1 of 5, and through it the first four.
    assert sizes(drawn("####.##..#"), "paper") == [7]
    # Here it reaches neither: 2 + 1 of 6, 4 + 1 of 11; what has grown to 6 is enough, 6 + 1 of 11.
    assert sizes(drawn("####.##...#"), "paper") == [6, 1]
    assert sizes(drawn("####.##...#"), "grown") == [7]


def test_an_earlier_region_is_compared_again_by_the_papers_rule_alone():
    # The speck comes before the block that bridges the gap to it, in row-major order.
    mask = drawn("##.......", "##......#", "##.####..", "##.####..", "##.####..")
    assert sizes(mask, "grown") == [22, 1]
    assert sizes(mask, "paper") == [23]


def test_released_counts_the_box_around_without_its_end_pixels():
    # 5 and 5 pixels of 21: 10 > 0.5 x 20 fails by a hair in width, a height of 1 makes the area 0.
    assert sizes(drawn("#####" + "." * 40 + "#####"), "released") == [10]
    assert sizes(drawn("#####" + "." * 40 + "#####"), "paper") == [5, 5]


def test_released_accepts_loose_regions_that_stay_as_loose_together():
    # Frames of density 12/16: 24 pixels in a box of 3 x 8 = 24, above min(0.5, 0.65).
    frames = drawn("####.####", "#..#.#..#", "#..#.#..#", "####.####")
    assert sizes(frames, "released") == [24]
    # Hooks of density 7/16: 14 pixels in 24 make 0.58, above min(0.5, 0.34); the paper wants half of 36.
    hooks = drawn("####.####", "#.......#", "#.......#", "#.......#")
    assert sizes(hooks, "released") == [14]
    assert sizes(hooks, "paper") == [7, 7]


def test_released_drops_specks_beside_other_regions_only():
    assert sizes(drawn("#####....", "#####...#"), "released") == [10]
    assert sizes(drawn("####"), "released") == [4]


@pytest.mark.parametrize("rule", ["paper", "grown"])
def test_a_4000_region_noise_mask_takes_less_than_a_second(rule):
    noise = np.random.default_rng(0).random((300, 300)) < 0.06
    assert split(noise).max() > 3900
    start = time.process_time()
    merged = split_then_merge(noise, 0.5, rule)
    assert time.process_time() - start < 1
    assert 1 <= merged.max() < split(noise).max()


def test_an_empty_mask_has_no_regions():
    stm = SplitThenMerge(enabled=True, rule="paper", mu=0.5)
    assert stm(np.zeros((3, 4), bool)).shape == (0, 3, 4)


def test_disabled_the_mask_stays_whole():
    mask = drawn("#..#")
    assert (SplitThenMerge(enabled=False, rule="paper", mu=0.5)(mask) == mask[None]).all()


@pytest.mark.parametrize(
    ("refiner", "regions"),
    [("samrefiner", True), ("grid_merge", True), ("dense_crf", False), ("cascade_psp", False), ("external", False)],
)
def test_regions_are_refined_by_segment_anything_and_whole_categories_by_others(refiner, regions):
    assert compose_config(["dataset=voc", f"refiner={refiner}"]).dataset.stm.enabled is regions
    for regions in (True, False):
        words = ["dataset=voc", f"refiner={refiner}", f"regions={regions}"]
        assert compose_config(words).dataset.stm.enabled is regions
    assert compose_config(["dataset=folder", f"refiner={refiner}"]).dataset.stm.enabled is False


@pytest.mark.parametrize(("rule", "mu"), [("author", 0.5), ("paper", 1.5), ("paper", float("nan"))])
def test_a_wrong_rule_or_mu_is_named(rule, mu):
    with pytest.raises(ConfigError, match=r"dataset\.stm\."):
        SplitThenMerge(enabled=True, rule=rule, mu=mu)
