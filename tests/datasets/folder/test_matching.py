"""Pairing of image and mask files by name."""

import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samref.datasets.folder.matching import Names, named, pair_files
from samref.io.image_folder import list_images


def paths(*names):
    return [Path(name) for name in names]


def paired(images, masks, truth=None):
    pairings, problems = pair_files(paths(*images), paths(*masks), None if truth is None else paths(*truth))
    return {str(p.image): [str(m) for m in p.masks] for p in pairings}, [p.reason for p in problems]


def test_masks_are_named_as_their_image_or_numbered_or_by_its_whole_name():
    assert paired(["a.jpg", "d/b.png", "c.v2.tif"], ["a_10.png", "a_2.png", "a_1.png", "d/b.png", "c.v2.tif.png"]) == (
        {"a.jpg": ["a_1.png", "a_2.png", "a_10.png"], "d/b.png": ["d/b.png"], "c.v2.tif": ["c.v2.tif.png"]},
        [],
    )


def test_an_image_of_the_very_name_goes_before_a_number():
    assert paired(["a.jpg", "a_1.jpg"], ["a.png", "a_1.png"])[0] == {"a.jpg": ["a.png"], "a_1.jpg": ["a_1.png"]}


def test_the_same_name_in_another_folder_is_another_image():
    pairs, problems = paired(["x/a.jpg", "y/a.jpg"], ["y/a.png"])
    assert pairs == {"y/a.jpg": ["y/a.png"]}
    assert problems == ["image x/a.jpg has no mask of its name"]


def test_what_fits_nothing_is_reported_and_costs_nothing_else():
    pairs, problems = paired(["a.jpg", "b.jpg", "c.jpg", "c.png"], ["a.png", "c.png", "z_1.png"])
    assert pairs == {"a.jpg": ["a.png"]}
    assert sorted(problems) == [
        "image b.jpg has no mask of its name",
        "mask c.png has no image of its name",
        "mask z_1.png has no image of its name",
        "the images c.jpg, c.png have the same name but for the ending; keep one of them",
    ]


def test_images_of_one_stem_differ_by_their_entire_names():
    pairs, problems = paired(["c.jpg", "c.png"], ["c.jpg.png", "c.png_1.png", "c.png_2.png"])
    assert (pairs, problems) == ({"c.jpg": ["c.jpg.png"], "c.png": ["c.png_1.png", "c.png_2.png"]}, [])


def test_a_number_beside_a_mask_of_the_name_is_another_image():
    pairs, problems = paired(["cat.jpg", "dog.jpg"], ["cat.png", "cat_2024.png", "dog.png", "dog_1.png"])
    assert pairs == {"cat.jpg": ["cat.png"], "dog.jpg": ["dog.png"]}
    assert [reason.split(";")[0] for reason in problems] == [
        "mask cat_2024.png has no image of its name",
        "mask dog_1.png has no image of its name",
    ]


@pytest.mark.parametrize(
    ("numbers", "taken"),
    [("1", "1"), ("0", "0"), ("0 1 2", "0 1 2"), ("1 2 10", "1 2 10"), ("001 002", "001 002"), ("1 2024", "1"),
     ("2024", ""), ("0153", ""), ("2 3", ""), ("1 01 2", "")],
)  # fmt: skip
def test_several_masks_are_numbered_from_the_first(numbers, taken):
    pairs, problems = paired(["a.jpg"], [f"a_{number}.png" for number in numbers.split()])
    assert pairs == ({"a.jpg": [f"a_{number}.png" for number in taken.split()]} if taken else {})
    assert bool(problems) == (numbers != taken)


@pytest.mark.parametrize(
    "mask",
    ["a_mask", "a-mask", "a.mask", "a_seg", "a_Mask", "a_masks", "a_label", "a_mask_1", "a_1_mask", "A", "A_MASK"],
)
def test_a_usual_word_stands_behind_the_name_of_a_mask(mask):
    assert paired(["d/a.jpg"], [f"d/{mask}.png"]) == ({"d/a.jpg": [f"d/{mask}.png"]}, [])


def test_two_masks_that_may_both_be_an_images_are_reported():
    pairs, problems = paired(["a.jpg", "b_mask.jpg", "b.jpg"], ["a.png", "a_mask.png", "b_mask.png"])
    assert pairs == {"b_mask.jpg": ["b_mask.png"]}
    assert "the masks a.png, a_mask.png have the same name" in " ".join(problems)


def test_other_words_are_given():
    images, masks = paths("x/c.png", "x/b_0000.png"), paths("x/c_cp_masks.png", "x/b_0000_cp_masks.png")
    pairings, problems = pair_files(images, masks, None, Names("_cp_masks"))
    assert ([str(p.masks[0]) for p in pairings], problems) == (["x/c_cp_masks.png", "x/b_0000_cp_masks.png"], [])
    pairings, _ = pair_files(paths("b_0000.png"), paths("b.png"), None, Names(None, "_0000"))
    assert [str(p.masks[0]) for p in pairings] == ["b.png"]
    city = Names("_gtFine_labelIds", "_leftImg8bit")
    pairings, _ = pair_files(paths("d_leftImg8bit.png"), paths("d_gtFine_labelIds.png"), None, city)
    assert [str(p.masks[0]) for p in pairings] == ["d_gtFine_labelIds.png"]
    assert named(paths("a_m.png", "a_m_2.png", "a.png", "a_mm.png"), "_m", numbered=True) == paths(
        "a_m.png", "a_m_2.png"
    )


@pytest.mark.parametrize(
    ("image", "mask", "options"),
    [
        ("c", "c_cp_masks", "dataset.mask_suffix=_cp_masks pairs"),
        ("b_0000", "b", "dataset.image_suffix=_0000 pairs"),
        (
            "d_leftImg8bit",
            "d_gtFine_labelIds",
            "dataset.mask_suffix=_gtFine_labelIds dataset.image_suffix=_leftImg8bit",
        ),
    ],
)
def test_the_option_that_would_pair_is_named(image, mask, options):
    _, problems = paired([f"{image}.png", "other.png"], [f"{mask}.png"])
    assert options in problems[0] and "or rename it" in problems[0]


def test_ground_truth_may_be_named_as_the_image():
    pairings, problems = pair_files(paths("a.jpg"), paths("a_mask.png"), paths("a.png"))
    assert ([p.truth for p in pairings], problems) == ([(Path("a.png"),)], [])


def test_ground_truth_may_have_another_suffix_and_its_lack_is_reported():
    pairings, problems = pair_files(paths("a.jpg", "b.jpg"), paths("a_1.png", "b.png"), paths("a_1.tif", "c.png"))
    assert [p.truth for p in pairings] == [(Path("a_1.tif"),)]
    assert [p.reason for p in problems] == ["mask b.png has no ground truth of its name"]


def test_composed_and_decomposed_accents_are_the_same_name():
    decomposed = unicodedata.normalize("NFD", "été.jpg")
    assert paired([decomposed], [unicodedata.normalize("NFC", "été_1.png")])[0] == {decomposed: ["été_1.png"]}


@settings(max_examples=50)
@given(st.sets(st.from_regex(r"[ab](_[12]){0,2}\.(jpg|png)", fullmatch=True)),
       st.sets(st.from_regex(r"[ab](_[12]){0,3}\.(tif|png)", fullmatch=True)))  # fmt: skip
def test_every_file_is_paired_once_or_reported_once(images, masks):
    pairings, problems = pair_files(paths(*images), paths(*masks))
    used = [str(p.image) for p in pairings], [str(m) for p in pairings for m in p.masks]
    assert len(set(used[0])) == len(used[0])
    assert len(set(used[1])) == len(used[1])
    reported = {name for name in {*images, *masks} if any(name in re.split("[ ,;]+", p.reason) for p in problems)}
    assert {*images, *masks} <= {*used[0], *used[1], *reported}
    assert not {*used[0], *used[1]} & {p.reason.split()[1] for p in problems if p.reason.startswith(("mask", "image"))}


def test_names_that_are_not_utf8_pair_and_get_an_id_any_file_can_hold(tmp_path):
    for suffix in (b".jpg", b".png"):
        open(os.path.join(os.fsencode(tmp_path), b"caf\xe9" + suffix), "w").close()
    images = [path for path in list_images(tmp_path) if path.suffix == ".jpg"]
    masks = [path for path in list_images(tmp_path) if path.suffix == ".png"]
    pairings, _ = pair_files(images, masks)
    assert [pairing.image_id.encode("utf-8") for pairing in pairings] == [b"caf\\xe9"]


def test_two_images_of_one_name_are_said_first_and_a_word_in_front_is_to_be_renamed():
    problems = paired(["a.jpg", "a.png"], ["a.tif"])[1]
    assert "a.jpg, a.png have the same name but for the ending" in problems[0]
    assert paired(["a.jpg"], ["mask_a.png"])[1][0].endswith("; rename it to a.png")
