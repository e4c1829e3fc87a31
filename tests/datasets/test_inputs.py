"""What each data set says that its samples are made of: every file that a run opens, and nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from samref.datasets.big import BigDataset
from samref.datasets.coco.coco import CocoDataset
from samref.datasets.davis import Davis, Davis585
from samref.datasets.folder.folder import Folder
from samref.datasets.scenes.scenes import Scenes
from samref.datasets.shapes.cvat import CvatDataset
from samref.datasets.shapes.label_studio import LabelStudioDataset
from samref.datasets.shapes.labelme import LabelmeDataset
from samref.datasets.shapes.yolo import YoloDataset
from samref.datasets.voc.instances import VocInstances
from samref.datasets.voc.voc import VocDataset
from samref.prompts.split_then_merge import SplitThenMerge
from tests.factories import make_davis, make_davis585, make_folder
from tests.factories_benchmarks import make_big, make_coco, make_voc

FIXTURES = Path(__file__).parents[1] / "fixtures"


def davis585(root):
    return Davis585(str(make_davis585(root, objects=2)))


def davis(root):
    return Davis(str(make_davis(root)))


def folder(root):
    make_folder(root, truth=True)
    return Folder(root / "images", root / "masks", truth=root / "truth")


def big(root):
    make_big(root)
    return BigDataset(root)


def voc(root):
    made = make_voc(root)
    stm = SplitThenMerge(enabled=True, rule="paper", mu=0.5)
    return VocDataset(root, "val", made.coarse, "SegmentationClass", stm, False, None)


def coco(root):
    made = make_coco(root)
    return CocoDataset(made.images, made.annotations, made.predictions)


def yolo(root):
    for folder in ("images/val", "labels/val"):
        shutil.copytree(FIXTURES / "yolo" / folder, root / folder)
    shutil.copy(FIXTURES / "yolo" / "data.yaml", root)
    return YoloDataset(root / "data.yaml")


def labelme(root):
    for name in ("photos/referenced.png", "referenced.json", "embedded.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(FIXTURES / "labelme" / name, root / name)
    return LabelmeDataset(root)


def label_studio(root):
    (root / "images").mkdir(parents=True)
    for name in ("images/parts.png", "images/whole.png", "tasks.json"):
        shutil.copy(FIXTURES / "label_studio" / name, root / name)
    return LabelStudioDataset(root / "tasks.json", root / "images")


def cvat(root):
    (root / "images").mkdir(parents=True)
    for name in ("images/photo one.png", "images/photo_2.png", "annotations.xml"):
        shutil.copy(FIXTURES / "cvat" / name, root / name)
    return CvatDataset(root / "annotations.xml", root / "images")


def voc_instances(root):
    for name in ("JPEGImages/photo.png", "SegmentationObject/photo.png", "SegmentationClass/photo.png"):
        (root / name).parent.mkdir(parents=True)
        shutil.copy(FIXTURES / "voc_instances" / name, root / name)
    return VocInstances(root)


MAKERS = [davis585, davis, folder, big, voc, coco, yolo, labelme, label_studio, cvat, voc_instances]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_samples_and_lists_are_all_the_files_there_are(make, tmp_path):
    data = make(tmp_path)
    named = [Path(path) for index in range(len(data)) for path in data.sample_files(index)]
    assert len(set(named)) == len(named)
    unused = {"000000000003.jpg", "000000000004.jpg"} if make is coco else set()  # images without a mask to refine
    present = {path for path in tmp_path.rglob("*") if path.is_file() and path.name not in unused}
    assert {*named, *map(Path, data.input_files())} == present


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_every_file_that_reading_a_sample_opens_is_named(make, tmp_path):
    data = make(tmp_path)
    for index in range(len(data)):
        for path in data.sample_files(index):
            content = Path(path).read_bytes()
            Path(path).write_bytes(b"")
            with pytest.raises(Exception, match=Path(path).name):
                data[index]
            Path(path).write_bytes(content)
        data[index]


def test_generated_samples_are_made_of_no_files():
    data = Scenes(length=2)
    assert [data.sample_files(index) for index in range(2)] == [(), ()]
    assert not data.input_files()


def test_the_records_of_a_sample_are_its_content_and_their_places_are_not(tmp_path):
    made = make_coco(tmp_path)
    before = coco(tmp_path / "again")
    content = [json.dumps(before.sample_content(index)) for index in range(len(before))]
    made.predictions.write_text(json.dumps([{"image_id": 3, "category_id": 1}, *made.results]))
    after = CocoDataset(made.images, made.annotations, made.predictions)
    assert [json.dumps(after.sample_content(index)) for index in range(len(after))] == content
    assert [list(after.object_ids(k)) for k in range(2)] == [
        [place + 1 for place in before.object_ids(k)] for k in range(2)
    ]
    made.results[0]["category_id"] = 18
    made.predictions.write_text(json.dumps(made.results))
    changed = CocoDataset(made.images, made.annotations, made.predictions)
    assert [json.dumps(changed.sample_content(k)) == content[k] for k in range(2)] == [False, True]


def test_annotations_have_ids_of_their_own(tmp_path):
    made = make_coco(tmp_path)
    assert CocoDataset(made.images, made.annotations).object_ids(0) is None
