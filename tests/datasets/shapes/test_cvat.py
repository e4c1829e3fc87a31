import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from samref.datasets.shapes.cvat import CvatDataset
from samref.errors import DatasetError
from tests.datasets.shapes.round_trip import assert_same, files_below, read_all, split_and_pierced, write_all
from tests.fixtures.scene import disk, ring, three_parts, whole

# Written by datumaro: see make.py there.
MADE = Path(__file__).parents[2] / "fixtures" / "cvat"
HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'


@pytest.fixture
def made(tmp_path):
    return Path(shutil.copytree(MADE, tmp_path / "made", ignore=shutil.ignore_patterns("*.py")))


def opened(folder, **options):
    return CvatDataset(folder / "annotations.xml", folder / "images", **options)


def edit(folder, before, after):
    path = folder / "annotations.xml"
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")


def shapes(folder):
    root = ElementTree.parse(folder / "annotations.xml").getroot()
    return [element for image in root.iter("image") for element in image]


def test_polygons_masks_and_groups_are_read_as_they_are_drawn():
    data = opened(MADE)
    assert [data.image_id(k) for k in range(2)] == ["photo one.png", "photo_2.png"]
    first, second = data[0], data[1]
    assert (first.masks == [whole(), three_parts()]).all() and first.object_ids == (1, 2)
    assert (second.masks == [ring()]).all()


def test_nothing_refined_gives_the_same_bytes(made, tmp_path):
    write_all(opened(made), tmp_path / "out")
    assert files_below(tmp_path / "out") == {"annotations.xml": (made / "annotations.xml").read_bytes()}


def test_refined_masks_come_back_pixel_for_pixel_and_every_other_byte_stays(made, tmp_path):
    held = write_all(opened(made), tmp_path / "out", split_and_pierced)
    shutil.copytree(made / "images", tmp_path / "out" / "images")
    assert_same(read_all(opened(tmp_path / "out")), held)
    numbers = re.compile(r'(points|rle|left|top|width|height)="[^"]*"')
    before, after = ((f / "annotations.xml").read_text(encoding="utf-8") for f in (made, tmp_path / "out"))
    assert numbers.sub(r"\1", before) == numbers.sub(r"\1", after) and before != after
    for old, new in zip(shapes(made), shapes(tmp_path / "out"), strict=True):
        assert (old.attrib == new.attrib) == (old.tag not in ("polygon", "mask"))


def test_a_part_of_a_group_that_is_gone_takes_its_shape_with_it(made, tmp_path):
    kept = disk(12, 36, 7)
    write_all(opened(made), tmp_path / "out", lambda mask: kept if (mask == three_parts()).all() else mask)
    tags = [element.tag for element in shapes(tmp_path / "out")]
    assert tags == ["polygon", "box", "polygon", "points", "mask", "tag"]
    shutil.copytree(made / "images", tmp_path / "out" / "images")
    assert (opened(tmp_path / "out")[0].masks[1] == kept).all()


def test_elements_without_an_end_and_quotes_of_both_kinds_are_edited_in_place(made, tmp_path):
    text = (
        f"{HEAD}<annotations><image id='7' name='photo one.png' width='64' height='48'>"
        "<polygon label='a > b' points='10,10;30,10;30,30;10,30' z_order=\"1\"/><polygon\n  label='c'\n"
        " points = '40,10;50,10;50,30;40,30'><attribute name='x'>1</attribute></polygon></image></annotations>"
    )
    (made / "annotations.xml").write_text(text)
    held = write_all(opened(made), tmp_path / "out", lambda mask: np.roll(mask, 2, axis=1))
    shutil.copytree(made / "images", tmp_path / "out" / "images")
    assert_same(read_all(opened(tmp_path / "out")), held)
    points = re.compile(r"points\s*=\s*(['\"])[^'\"]*\1")
    after = (tmp_path / "out" / "annotations.xml").read_text()
    assert [len(points.findall(t)) for t in (text, after)] == [2, 2] and points.sub("", after) == points.sub("", text)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ('rle="', 'rle="5, ', "add up to"),
        ('rle="', 'rle="x, ', "no numbers"),
        ('left="0"', 'left="30"', "does not fit the image"),
        ('points="', 'points="x;', "expected x,y;x,y"),
    ],
)
def test_a_shape_that_is_broken_is_named_and_stays(made, tmp_path, before, after, sentence):
    edit(made, before, after)
    data = opened(made)
    problems = [problem for index in range(2) for problem in data[index].meta["problems"]]
    assert len(problems) == 1 and sentence in problems[0].reason
    write_all(data, tmp_path / "out", split_and_pierced)
    assert after in (tmp_path / "out" / "annotations.xml").read_text(encoding="utf-8")


def test_two_images_of_one_name_are_two(made):
    path = made / "annotations.xml"
    path.write_text(path.read_text().replace('name="photo_2.png"', 'name="photo one.png"'))
    data = opened(made)
    assert [data.image_id(k) for k in range(2)] == ["photo one.png#1", "photo one.png#2"]


def test_a_missing_image_is_reported(made):
    (made / "images" / "photo_2.png").unlink()
    data = opened(made)
    assert len(data) == 1 and "photo_2.png is not in" in data.problems[0].reason


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (HEAD + "<annotations><track/></annotations>", "as for video"),
        (HEAD + "<annotation><object/></annotation>", "no image in <annotation>"),
        ("{}", "is no xml"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "declares a document type"),
    ],
)
def test_other_files_are_refused(made, content, sentence):
    (made / "annotations.xml").write_text(content)
    with pytest.raises(DatasetError, match=sentence):
        opened(made)
