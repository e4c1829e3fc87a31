import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samref.datasets.voc.instances import VocInstances
from samref.datasets.voc.labels import voc_palette
from samref.errors import DatasetError, InputError
from samref.io.colors import voc_colors
from tests.datasets.shapes.round_trip import assert_same, files_below, read_all, write_all
from tests.fixtures.scene import SIZE, picture, ring, three_parts, whole

# Written by datumaro: see make.py there.
MADE = Path(__file__).parents[2] / "fixtures" / "voc_instances"
OBJECTS, CLASSES = "SegmentationObject", "SegmentationClass"


@pytest.fixture
def made(tmp_path):
    return Path(shutil.copytree(MADE, tmp_path / "voc", ignore=shutil.ignore_patterns("*.py")))


def indexed(folder):
    """As VOC itself: palette images, a line of void around each object."""
    objects, classes = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    for label, (mask, category) in enumerate(((whole(), 8), (ring(), 12)), 1):
        objects[mask], classes[mask] = label, category
        rim = mask & ~np.roll(mask, 1, axis=0)
        objects[rim], classes[rim] = 255, 255
    picture(folder / "JPEGImages" / "b.jpg")
    for name, values in ((OBJECTS, objects), (CLASSES, classes)):
        (folder / name).mkdir()
        image = Image.fromarray(values)
        image.putpalette(voc_palette())
        image.save(folder / name / "b.png")
    return objects, classes


def moved(mask):
    return np.roll(mask, 2, axis=1)


def test_objects_in_colors_are_read():
    data = VocInstances(MADE, split="train")
    sample = data[0]
    assert sample.image_id == "photo" and sample.object_ids == (1, 2, 3)
    assert (sample.masks == [whole(), three_parts(), ring()]).all()
    assert sample.meta["classes"] == (8, 12, 8)


def test_nothing_refined_gives_the_same_bytes(made, tmp_path):
    write_all(VocInstances(made), tmp_path / "out")
    wanted = {k: v for k, v in files_below(made).items() if k.startswith("Segmentation")}
    assert files_below(tmp_path / "out") == wanted


def test_class_maps_follow_their_objects(made, tmp_path):
    held = write_all(VocInstances(made), tmp_path / "out", moved)
    shutil.copytree(made / "JPEGImages", tmp_path / "out" / "JPEGImages")
    assert_same(read_all(VocInstances(tmp_path / "out")), held)
    classes = np.asarray(Image.open(tmp_path / "out" / CLASSES / "photo.png"))
    expected = np.zeros(SIZE, int)
    for mask, category in zip(held["photo"].values(), (8, 12, 8), strict=True):
        expected[mask] = category
    assert (classes == voc_colors()[expected]).all()


def test_void_and_palette_stay(tmp_path):
    objects, classes = indexed(tmp_path)
    held = write_all(VocInstances(tmp_path), tmp_path / "out", moved)["b"]
    for name, before, labels in ((OBJECTS, objects, (1, 2)), (CLASSES, classes, (8, 12))):
        image = Image.open(tmp_path / "out" / name / "b.png")
        after = np.asarray(image)
        assert image.mode == "P" and image.getpalette() == voc_palette()
        assert ((after == 255) == (before == 255)).all()
        for label, mask in zip(labels, held.values(), strict=True):
            assert ((after == label) == mask).all()


def test_truth_is_scored_by_label(made):
    shutil.copytree(made / OBJECTS, made / "True")
    data = VocInstances(made, truth="True")
    assert data.protocol == "overlap" and (data[0].truth == data[0].masks).all()
    assert data.scorer() is not None


def test_object_maps_without_class_maps_are_written_alone(made, tmp_path):
    shutil.rmtree(made / CLASSES)
    write_all(VocInstances(made), tmp_path / "out", moved)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [OBJECTS]


def test_what_is_missing_is_named(made, tmp_path):
    with pytest.raises(DatasetError, match="lies in the input"):
        VocInstances(made, output=made / "out")
    (made / "ImageSets" / "Segmentation" / "train.txt").write_text("photo\nother\n")
    with pytest.raises(DatasetError, match="lacks 1 maps in SegmentationObject, as \\['other'\\]"):
        VocInstances(made, split="train")
    (made / "JPEGImages" / "photo.png").unlink()
    with pytest.raises(DatasetError, match="lacks 1 images in JPEGImages"):
        VocInstances(made)
    with pytest.raises(DatasetError, match="JPEGImages is no folder"):
        VocInstances(tmp_path)


def test_a_class_map_of_another_size_is_refused(made):
    path = made / CLASSES / "photo.png"
    Image.open(path).crop((0, 0, 20, 20)).save(path)
    with pytest.raises(InputError, match=CLASSES):
        VocInstances(made)[0]
