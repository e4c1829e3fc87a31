"""Pairing of image and mask files by name."""

import os
import unicodedata
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from samref.datasets.folder.matching import pair_files
from samref.io.image_folder import list_images


def paths(*names):
    return [Path(name) for name in names]


def paired(images, masks, truth=None):
    pairings, problems = pair_files(paths(*images), paths(*masks), None if truth is None else paths(*truth))
    return {str(p.image): [str(m) for m in p.masks] for p in pairings}, [p.reason for p in problems]


def test_masks_are_named_as_their_image_or_numbered_or_by_its_whole_name():
    assert paired(["a.jpg", "d/b.png", "c.v2.tif"], ["a_10.png", "a_2.png", "d/b.png", "c.v2.tif.png"]) == (
        {"a.jpg": ["a_2.png", "a_10.png"], "d/b.png": ["d/b.png"], "c.v2.tif": ["c.v2.tif.png"]},
        [],
    )


def test_an_image_of_the_very_name_goes_before_a_number():
    assert paired(["a.jpg", "a_1.jpg"], ["a.png", "a_1.png"])[0] == {"a.jpg": ["a.png"], "a_1.jpg": ["a_1.png"]}


def test_the_same_name_in_another_folder_is_another_image():
    pairs, problems = paired(["x/a.jpg", "y/a.jpg"], ["y/a.png"])
    assert pairs == {"y/a.jpg": ["y/a.png"]}
    assert problems == ["image x/a.jpg has no mask of its name"]


def test_what_fits_nothing_is_reported_and_costs_nothing_else():
    pairs, problems = paired(["a.jpg", "b.jpg", "c.jpg", "c.png"], ["a.png", "c.png", "z_1.png", "a_1.png", "a_1.tif"])
    assert pairs == {"a.jpg": ["a.png"]}
    assert sorted(problems) == [
        "image b.jpg has no mask of its name",
        "mask c.png has no image of its name",
        "mask z_1.png has no image of its name",
        "the images c.jpg, c.png have the same stem; keep one of them",
        "the masks a_1.png, a_1.tif have the same stem; keep one of them",
    ]


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
    words = " ".join(p.reason for p in problems).replace(",", " ").replace(";", " ").split()
    assert sorted([*used[0], *used[1], *(word for word in words if "." in word)]) == sorted([*images, *masks])


def test_names_that_are_not_utf8_pair_and_get_an_id_any_file_can_hold(tmp_path):
    for suffix in (b".jpg", b".png"):
        open(os.path.join(os.fsencode(tmp_path), b"caf\xe9" + suffix), "w").close()
    images = [path for path in list_images(tmp_path) if path.suffix == ".jpg"]
    masks = [path for path in list_images(tmp_path) if path.suffix == ".png"]
    pairings, _ = pair_files(images, masks)
    assert [pairing.image_id.encode("utf-8") for pairing in pairings] == [b"caf\\xe9"]
