"""Files of one format, given as another, are named with the command that reads them."""

import shutil
from pathlib import Path

import pytest

from samref.cli.formats import FORMATS
from samref.cli.main import COMMANDS
from samref.datasets.folder.folder import Folder
from samref.errors import DatasetError
from samref.io.coco_files import read_coco
from samref.io.formats_seen import look_at, look_into
from tests.factories import save_photo
from tests.factories_benchmarks import make_coco

FIXTURES = Path(__file__).parents[1] / "fixtures"
MADE = [
    ("yolo/labels", "--yolo"),
    ("yolo", "--yolo"),
    ("labelme", "--labelme"),
    ("cvat", "--cvat"),
    ("label_studio", "--label-studio"),
]


@pytest.mark.parametrize(("folder", "flag"), MADE)
def test_masks_of_a_folder_that_are_none(tmp_path, folder, flag):
    save_photo(tmp_path / "images" / "a.png", (20, 30), 1)
    ignored = shutil.ignore_patterns("*.py", "*.png", "__pycache__")
    shutil.copytree(FIXTURES / folder, tmp_path / "masks", ignore=ignored)
    with pytest.raises(DatasetError, match=f"samref refine {flag} "):
        Folder(tmp_path / "images", tmp_path / "masks")
    assert flag[2:] in FORMATS and "refine" in COMMANDS


@pytest.mark.parametrize(
    ("name", "flag"), [("label_studio/tasks.json", "--label-studio"), ("labelme/embedded.json", "--labelme")]
)
def test_a_json_that_is_not_cocos(name, flag):
    with pytest.raises(DatasetError, match=f"it looks like .*samref refine {flag} "):
        read_coco(FIXTURES / name, "dataset.predictions")


def test_cocos_files_are_named_where_masks_are_expected(tmp_path):
    made = make_coco(tmp_path)
    assert "--coco" in look_at(made.annotations) and "--coco" in look_at(made.predictions)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "0 0.5 0.5 0.1 0.1\n", "YOLO's boxes"),
        ("a.xml", "<annotation><object/></annotation>", "PASCAL VOC's boxes"),
        ("via.json", '{"a.jpg1": {"filename": "a.jpg", "regions": []}}', "export it as COCO"),
        ("a.npy", "x", "dataset=voc"),
        ("a.txt", "hello\n", None),
        ("a.json", "{", None),
        ("a.json", "[1]", None),
    ],
)
def test_what_holds_no_masks_is_named_too(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    found = look_into(tmp_path)
    assert (found is None) == (words is None) and (words is None or words in found)
