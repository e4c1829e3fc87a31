"""Images found by the names in annotation files: sub-folders and paths of other systems, but never a guess."""

import unicodedata
from pathlib import Path

import pytest

from samref.io.image_folder import ImageFolder, list_images
from tests.factories import save_photo

FILES = (
    "frame_001.png",
    "frame.png",
    "1.png",
    "cam1/0001.png",
    "cam1/deep/b.JPG",
    "été 1.png",
    "masks/only.png",
    "07.png",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    for seed, name in enumerate(FILES):
        save_photo(root / name, (4, 5), seed)
    return ImageFolder(root)


def found(folder, name):
    path = folder.find(name)
    return None if path is None else str(path.relative_to(folder.folder))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("frame_001.png", "frame_001.png"),
        ("images/train/frame_001.png", "frame_001.png"),
        ("C:\\data\\frame_001.png", "frame_001.png"),
        ("/home/someone/frame.png", "frame.png"),
        ("../elsewhere/frame.png", "frame.png"),
        ("https://host:80/data/frame.png", "frame.png"),
        ("data/cam1/0001.png", "cam1/0001.png"),
        ("0001.png", "cam1/0001.png"),
        ("deep\\b.jpg", "cam1/deep/b.JPG"),
        ("FRAME.PNG", "frame.png"),
        ("frame_001", "frame_001.png"),
        (unicodedata.normalize("NFD", "été 1.png"), "été 1.png"),
        ("%C3%A9t%C3%A9%201.png", "été 1.png"),
        # Missing is missing: no tail, no number, no other folder, no other suffix, no mask.
        ("scene1_1.png", None),
        ("0001_frame.png", None),
        ("cam2/0001.png", None),
        ("frame.jpg", None),
        ("frame_001.png.bak", None),
        ("only.png", None),
        ("", None),
    ],
)
def test_a_name_is_found_where_one_path_ends_with_the_other(folder, name, file):
    assert found(folder, name) == file


def test_a_name_that_fits_several_files_is_none_of_them(tmp_path):
    for name in ("a/x.png", "b/x.png", "c/1.png", "c/01.png"):
        save_photo(tmp_path / name, (4, 5), 0)
    folder = ImageFolder(tmp_path)
    located = folder.locate({"x": ["x.png"], "ax": ["a/x.png"], "one": [1]})
    assert {key: path.relative_to(tmp_path) for key, path in located.paths.items()} == {"ax": Path("a/x.png")}
    assert located.missing["x"] == "several files may be x.png: a/x.png, b/x.png"
    assert located.missing["one"].startswith("several files may be 1:")
    assert folder.find_number(1) is None


def test_a_file_is_not_given_to_two_names(tmp_path):
    for name in ("x.png", "y.png"):
        save_photo(tmp_path / name, (4, 5), 0)
    names = {1: ["x.png"], 2: ["cam2/x.png"], 3: ["cam1/y.png"], 4: ["cam2/y.png"], 5: ["x.png"]}
    located = ImageFolder(tmp_path).locate(names)
    assert set(located.paths) == {1, 5}
    assert "y.png there may be cam2/y.png" in located.missing[3]


def test_numbers_are_stems(folder):
    assert folder.find_number(7).name == "07.png"
    assert folder.find_number(8) is None


def test_hidden_and_other_files_are_no_images(tmp_path):
    for name in ("b10.JPG", "b9.Tiff", "sub/c.webp", ".hidden.png", ".cache/d.png", "notes.txt", "._a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(path) for path in list_images(tmp_path)] == ["b9.Tiff", "b10.JPG", "sub/c.webp"]


def test_linked_folders_are_followed_but_never_in_circles(tmp_path):
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.png").touch()
    (tmp_path / "root" / "sub" / "up").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "broken.png").symlink_to(tmp_path / "nowhere.png")
    found = [str(path) for path in list_images(tmp_path / "root")]
    assert found == ["broken.png", "linked/x.png"]


def test_a_folder_of_masks_inside_that_of_images_is_not_searched_for_images(tmp_path):
    for name in ("a.jpg", "masks/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_images(tmp_path, [tmp_path / "masks"]) == [Path("a.jpg")]
