import copy
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from samref.datasets.shapes.label_studio import LabelStudioDataset
from samref.errors import DatasetError
from tests.datasets.shapes.round_trip import assert_same, files_below, read_all, split_and_pierced, write_all
from tests.factories_benchmarks import refined
from tests.fixtures.scene import picture, ring, three_parts, whole

# Written by label-studio-sdk: see make.py there.
MADE = Path(__file__).parents[2] / "fixtures" / "label_studio"


@pytest.fixture
def made(tmp_path):
    return Path(shutil.copytree(MADE, tmp_path / "made", ignore=shutil.ignore_patterns("*.py")))


def opened(folder, **options):
    return LabelStudioDataset(folder / "tasks.json", folder / "images", **options)


def edit(folder, change):
    tasks = json.loads((folder / "tasks.json").read_text())
    change(tasks)
    (folder / "tasks.json").write_text(json.dumps(tasks))


def regions(tasks):
    works = [work for task in tasks for kind in ("annotations", "predictions") for work in task.get(kind, ())]
    return [region for work in works for region in work["result"]]


def test_polygons_and_brushes_are_read_as_they_are_drawn():
    data = opened(MADE)
    assert [data.image_id(k) for k in range(2)] == [11, 12]
    (cat,), pair = data[0].masks, data[1].masks
    assert (cat == whole()).all()
    assert (pair[:-1].any(axis=0) == three_parts()).all() and len(pair) == 4
    assert (pair[-1] == ring()).all()


def test_nothing_refined_gives_the_same_bytes(made, tmp_path):
    write_all(opened(made), tmp_path / "out")
    assert files_below(tmp_path / "out") == {"tasks.json": (made / "tasks.json").read_bytes()}


def test_refined_masks_come_back_pixel_for_pixel_and_all_else_as_it_was(made, tmp_path):
    held = write_all(opened(made), tmp_path / "out", split_and_pierced)
    shutil.copytree(made / "images", tmp_path / "out" / "images")
    assert_same(read_all(opened(tmp_path / "out")), held)
    before, after = (json.loads((folder / "tasks.json").read_text()) for folder in (made, tmp_path / "out"))
    changed = [new["value"] != old["value"] for old, new in zip(regions(before), regions(after), strict=True)]
    assert changed == ["rectanglelabels" not in region["value"] for region in regions(before)]
    for region in [*regions(before), *regions(after)]:
        for key in ("points", "rle"):
            region["value"].pop(key, None)
    assert before == after


def test_what_an_image_leaves_can_be_kept_as_json(made, tmp_path):
    data = opened(made)
    first = write_all(data, tmp_path / "first", split_and_pierced)
    writer, later = data.writer(tmp_path / "between"), data.writer(tmp_path / "later")
    for index in range(2):
        sample = data[index]
        masks = np.array(list(first[sample.image_id].values()))
        later.restore(sample.image_id, json.loads(json.dumps(writer.write(sample, refined(masks)))))
    later.close()
    assert files_below(tmp_path / "later") == files_below(tmp_path / "first")


def test_labels_apart_from_their_region_change_with_it(made, tmp_path):
    def apart(tasks):
        result = tasks[0]["annotations"][0]["result"]
        region = result[-1]
        region["type"] = "polygon"
        label = copy.deepcopy(region)
        del region["value"]["polygonlabels"]
        label |= {"type": "labels", "from_name": "labels"}
        label["value"]["labels"] = label["value"].pop("polygonlabels")
        result.append(label)

    edit(made, apart)
    data = opened(made)
    assert len(data[0].masks) == 1
    write_all(data, tmp_path / "out", split_and_pierced)
    _, region, label = json.loads((tmp_path / "out" / "tasks.json").read_text())[0]["annotations"][0]["result"]
    assert region["value"]["points"] == label["value"]["points"] and label["value"]["labels"] == ["cat"]


def test_a_region_of_an_accepted_prediction_is_two_objects(made):
    def accept(tasks):
        tasks[1]["annotations"].append(copy.deepcopy(tasks[1]["predictions"][0]))

    edit(made, accept)
    names = opened(made)[1].object_ids
    assert len(set(names)) == len(names) == 5
    assert [str(name).partition(":")[2] for name in names[-2:]] == ["annotations:1", "predictions:0"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda region: region.update(image_rotation=90), "turned by 90 degrees"),
        (lambda region: region["value"].update(points=[[10, 10], [300, 10], [300, 30]]), "expected percent"),
        (lambda region: region["value"].update(points=[[10, 10], "x"]), r"a list of \[x, y\]"),
        (lambda region: region["value"].update(rle=[1, 2, 3]), "cut off"),
        (lambda region: region["value"].update(rle=["x"]), "something else than bytes"),
    ],
)
def test_a_region_that_is_broken_is_named_and_stays(made, tmp_path, change, sentence):
    edit(made, lambda tasks: change(tasks[1]["annotations"][0]["result"][-1]))
    data = opened(made)
    (problem,) = data[1].meta["problems"]
    assert problem.image_id == 12
    assert re.search(sentence, problem.reason)
    write_all(data, tmp_path / "out", split_and_pierced)
    before, after = (json.loads((folder / "tasks.json").read_text()) for folder in (made, tmp_path / "out"))
    assert before[1]["annotations"][0]["result"][-1] == after[1]["annotations"][0]["result"][-1]


def test_a_missing_image_is_reported_and_not_replaced(made):
    (made / "images" / "parts.png").rename(made / "images" / "1_parts.png")
    data = opened(made)
    assert len(data) == 1 and "task 12" in data.problems[0].reason
    picture(made / "images" / "0a1b2c3d-whole.png")
    assert opened(made).picture(0).name == "0a1b2c3d-whole.png"


@pytest.mark.parametrize("content", ['{"a": 1}', '[{"image": "x", "annotation_id": 3}]', "no json"])
def test_other_files_are_refused(made, content):
    (made / "tasks.json").write_text(content)
    with pytest.raises(DatasetError, match="exported as JSON"):
        opened(made)


def test_the_output_is_never_the_input(made):
    with pytest.raises(DatasetError, match="choose a folder outside"):
        opened(made, output=made)
