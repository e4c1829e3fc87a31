import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from samref.datasets.shapes.labelme import LabelmeDataset
from samref.errors import DatasetError, InputError
from tests.datasets.shapes.round_trip import assert_same, files_below, read_all, split_and_pierced, write_all
from tests.fixtures.scene import disk, ring, three_parts, whole

# Written by LabelMe: see make.py there.
MADE = Path(__file__).parents[2] / "fixtures" / "labelme"


@pytest.fixture
def made(tmp_path):
    return Path(shutil.copytree(MADE, tmp_path / "labelme", ignore=shutil.ignore_patterns("*.py")))


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_shapes_of_every_kind_are_read_as_they_are_drawn():
    data = LabelmeDataset(MADE)
    embedded, referenced = data[0], data[1]
    assert (embedded.image_id, referenced.image_id) == ("embedded", "referenced")
    rectangle = np.zeros_like(whole())
    rectangle[30:44, 40:56] = True
    for mask, expected in zip(embedded.masks, [rectangle, disk(14, 16, 9)], strict=True):
        assert (mask == expected).all()
    for mask, expected in zip(referenced.masks, [whole(), three_parts(), ring()], strict=True):
        assert (mask == expected).all()
    assert referenced.object_ids == (1, 2, 6)
    assert (embedded.image == referenced.image).all()


def test_nothing_refined_gives_the_same_bytes(made, tmp_path):
    write_all(LabelmeDataset(made), tmp_path / "out")
    assert files_below(tmp_path / "out") == {k: v for k, v in files_below(made).items() if k.endswith(".json")}


def test_refined_masks_come_back_pixel_for_pixel_and_all_else_as_it_was(made, tmp_path):
    held = write_all(LabelmeDataset(made), tmp_path / "out", split_and_pierced)
    assert_same(read_all(LabelmeDataset(tmp_path / "out", made / "photos")), held)
    replaced = ("points", "mask", "shape_type")
    for name in ("embedded.json", "referenced.json"):
        before, after = (json.loads((root / name).read_text()) for root in (made, tmp_path / "out"))
        assert list(before) == list(after)
        old, new = before.pop("shapes"), after.pop("shapes")
        assert before == after
        assert [{k: v for k, v in s.items() if k not in replaced} for s in old] == [
            {k: v for k, v in s.items() if k not in replaced} for s in new
        ]
        kinds = [(s["shape_type"], t["shape_type"]) for s, t in zip(old, new, strict=True)]
        assert set(kinds) <= {
            ("polygon", "polygon"), ("mask", "mask"), ("rectangle", "polygon"), ("circle", "polygon"),
            ("point", "point"), ("linestrip", "linestrip"),
        }  # fmt: skip
        raw = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert raw == json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
    assert "größer" in (tmp_path / "out" / "referenced.json").read_text(encoding="utf-8")


def test_a_part_of_a_group_that_is_gone_takes_its_shape_with_it(made, tmp_path):
    kept = disk(12, 36, 7)

    def first_part(mask):
        return kept if (mask & kept).any() and (mask == three_parts()).all() else mask

    held = write_all(LabelmeDataset(made), tmp_path / "out", first_part)["referenced"]
    found = LabelmeDataset(tmp_path / "out", made / "photos")[1]
    assert (found.masks == list(held.values())).all()
    labels = [s["label"] for s in json.loads((tmp_path / "out" / "referenced.json").read_text())["shapes"]]
    assert labels == ["animal", "pair", "line", "ring"]


def test_what_is_broken_is_named_and_stays(made, tmp_path):
    def break_some(content):
        first, *_, last = content["shapes"]
        first["points"] = [[x / 64, y / 48] for x, y in first["points"]]
        last["mask"] = "no png"

    edit(made / "referenced.json", break_some)
    data = LabelmeDataset(made)
    sample = data[1]
    assert sample.object_ids == (2,)
    first, last = sample.meta["problems"]
    assert "object 1 of referenced" in first.reason and "fractions" in first.reason
    assert "its mask is no base64" in last.reason
    write_all(data, tmp_path / "out", split_and_pierced)
    before, after = (json.loads((root / "referenced.json").read_text())["shapes"] for root in (made, tmp_path / "out"))
    assert (before[0], before[-1]) == (after[0], after[-1])


def test_another_image_than_the_labeled_one_is_refused(made):
    edit(made / "referenced.json", lambda content: content.update(imageHeight=50))
    with pytest.raises(InputError, match="48 x 64, but its labels are drawn on 50 x 64"):
        LabelmeDataset(made)[1]


def test_a_missing_image_is_missing(made):
    (made / "photos" / "referenced.png").rename(made / "photos" / "other_referenced.png")
    with pytest.raises(InputError, match=r"referenced\.png is missing"):
        LabelmeDataset(made)[1]


def test_a_path_of_another_computer_is_found_by_what_it_ends_with(made):
    edit(made / "referenced.json", lambda content: content.update(imagePath="C:\\data\\photos\\referenced.png"))
    assert LabelmeDataset(made).picture(1) == made / "photos" / "referenced.png"


def test_json_files_of_others_are_left_out_and_said_to_be(made):
    (made / "coco.json").write_text('{"images": [], "annotations": []}')
    data = LabelmeDataset(made)
    assert len(data) == 2 and "coco.json" in data.warnings[0]
    for path in made.glob("*ed.json"):
        path.unlink()
    with pytest.raises(DatasetError, match="none of LabelMe"):
        LabelmeDataset(made)


def test_the_output_is_never_in_the_input(made):
    with pytest.raises(DatasetError, match="choose a folder outside"):
        LabelmeDataset(made, output=made / "out")
