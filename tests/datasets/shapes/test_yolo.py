import shutil
from pathlib import Path

import numpy as np
import pytest

from samref.datasets.shapes.yolo import YoloDataset
from samref.errors import DatasetError, InputError
from tests.datasets.shapes.round_trip import assert_same, files_below, read_all, split_and_pierced, write_all
from tests.factories import save_photo
from tests.fixtures.scene import SIZE, disk, ring, three_parts, whole

# Written by Ultralytics' converter: see make.py there.
MADE = Path(__file__).parents[2] / "fixtures" / "yolo"


@pytest.fixture
def made(tmp_path):
    return Path(shutil.copytree(MADE, tmp_path / "yolo", ignore=shutil.ignore_patterns("*.py")))


def write_rows(folder, *rows, name="a", end="\n"):
    save_photo(folder / "images" / f"{name}.png", (40, 80), 1)
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / f"{name}.txt").write_bytes("".join(row + end for row in rows).encode())
    return YoloDataset(images=folder / "images", labels=folder / "labels")


SQUARE = "3 0.25 0.25 0.5 0.25 0.5 0.75 0.25 0.75"


def test_ultralytics_parts_are_read_through_their_bridges():
    data = YoloDataset(MADE / "data.yaml")
    first, second = data[0], data[1]
    assert [data.image_id(k) for k in range(2)] == ["labels/val/000000000001", "labels/val/000000000002"]
    assert (first.masks[0] == whole()).all() and (first.masks[1] == three_parts()).all()
    assert (second.masks[0] == ring() | disk(50, 17, 5)).all()  # COCO's polygons have no holes
    assert first.object_ids == (1, 2) and not first.meta["problems"]


def test_nothing_refined_gives_the_same_bytes(made, tmp_path):
    (made / "labels" / "val" / "000000000002.txt").write_bytes(b"")
    write_all(YoloDataset(made / "data.yaml"), tmp_path / "out")
    assert files_below(tmp_path / "out") == {
        name: content for name, content in files_below(made).items() if not name.startswith("images")
    }


def test_refined_masks_come_back_pixel_for_pixel_with_parts_and_holes(made, tmp_path):
    held = write_all(YoloDataset(made / "data.yaml"), tmp_path / "out", split_and_pierced)
    shutil.copytree(made / "images", tmp_path / "out" / "images")
    assert_same(read_all(YoloDataset(tmp_path / "out" / "data.yaml")), held)
    before, after = (
        [line.split()[0] for path in sorted((root / "labels").rglob("*.txt")) for line in path.read_text().splitlines()]
        for root in (made, tmp_path / "out")
    )
    assert before == after


def test_a_tolerance_saves_points_and_what_is_scored_is_what_is_written(made, tmp_path):
    exact, rough = tmp_path / "exact", tmp_path / "rough"
    write_all(YoloDataset(made / "data.yaml"), exact, split_and_pierced)
    held = write_all(YoloDataset(made / "data.yaml", tolerance=1.5), rough, split_and_pierced)
    shutil.copytree(made / "images", rough / "images")
    assert_same(read_all(YoloDataset(rough / "data.yaml")), held)
    name = "labels/val/000000000001.txt"
    assert len((rough / name).read_text()) < 0.7 * len((exact / name).read_text())


def test_boxes_confidences_and_line_ends_stay(tmp_path):
    box, points = "1 0.5 0.5 0.2 0.2", SQUARE + " 0.875"
    data = write_rows(tmp_path, box, points, "", box + " 0.5", end="\r\n")
    path = tmp_path / "labels" / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    sample = data[0]
    assert sample.object_ids == (2,) and sample.masks.sum() == 20 * 20
    write_all(data, tmp_path / "out", lambda mask: np.roll(mask, 2, axis=1))
    text = (tmp_path / "out" / "a.txt").read_bytes().decode()
    lines = text.removeprefix("\ufeff").split("\r\n")
    assert text.startswith("\ufeff")
    assert [lines[0], lines[2], lines[3], lines[4]] == [box, "", box + " 0.5", ""]
    words = lines[1].split()
    assert words[0] == "3" and words[-1] == "0.875" and len(words) % 2 == 0


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("0 10 10 60 10 60 30 10 30", "divide x by the image's width"),
        ("0 0.1 0.1 0.5 nan 0.5 0.5", "not finite"),
        ("0 0.1 0.1 0.5 x 0.5 0.5", "no numbers"),
        ("0 0.1 0.1 0.5 -0.2 0.5 0.5", "from -0.2"),
    ],
)
def test_a_row_that_is_broken_is_named_and_stays(tmp_path, row, sentence):
    data = write_rows(tmp_path, row, SQUARE)
    sample = data[0]
    assert sample.object_ids == (2,)
    (problem,) = sample.meta["problems"]
    assert "object 1 of a" in problem.reason and sentence in problem.reason
    write_all(data, tmp_path / "out", lambda mask: np.roll(mask, 2, axis=1))
    assert (tmp_path / "out" / "a.txt").read_text().splitlines()[0] == row


def test_key_points_are_no_outlines(made):
    (made / "data.yaml").write_text((made / "data.yaml").read_text() + "kpt_shape: [3, 3]\n")
    with pytest.raises(InputError, match="kpt_shape"):
        YoloDataset(made / "data.yaml")[0]


def test_splits_lists_and_roboflows_folders_are_found(tmp_path):
    for split in ("train", "valid"):
        save_photo(tmp_path / split / "images" / f"{split}.jpg", SIZE, 1)
        (tmp_path / split / "labels").mkdir()
        (tmp_path / split / "labels" / f"{split}.txt").write_text(SQUARE)
    data = tmp_path / "data.yaml"
    data.write_text("train: ../train/images\nval: list.txt\nnc: 1\nnames: ['a']\n")
    (tmp_path / "list.txt").write_text("./valid/images/valid.jpg\n")
    both = YoloDataset(data)
    assert [both.image_id(k) for k in range(2)] == ["train/labels/train", "valid/labels/valid"]
    assert [YoloDataset(data, splits=["val"]).image_id(0)] == ["valid/labels/valid"]
    with pytest.raises(DatasetError, match="train, val"):
        YoloDataset(data, splits=["test"])


def test_labels_without_an_image_and_two_images_of_one_name_are_reported(tmp_path):
    write_rows(tmp_path, SQUARE)
    write_rows(tmp_path, SQUARE, name="b")
    save_photo(tmp_path / "images" / "b.jpg", (40, 80), 1)
    (tmp_path / "labels" / "c.txt").write_text(SQUARE)
    data = YoloDataset(images=tmp_path / "images", labels=tmp_path / "labels")
    assert [data.image_id(k) for k in range(len(data))] == ["a"]
    assert sorted(problem.image_id for problem in data.problems) == ["b", "c"]
    write_all(data, tmp_path / "out")
    assert (tmp_path / "out" / "b.txt").read_text() == SQUARE + "\n"


@pytest.mark.parametrize("output", ["labels/val", "labels/val/out", ""])
def test_the_output_is_never_in_the_input(made, output):
    with pytest.raises(DatasetError, match="choose"):
        YoloDataset(made / "data.yaml", output=made / output)
    with pytest.raises(DatasetError, match="choose"):
        YoloDataset(images=made / "images/val", labels=made / "labels/val", output=made / "labels/val")
