"""VOC's augmented train set: whose labels which image has, and that val stays out of it."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from samref.cli.main import main
from samref.datasets.voc.augmented import make_augmented, read_sbd_labels
from samref.datasets.voc.labels import voc_palette
from samref.datasets.voc.voc import VocDataset
from samref.errors import DatasetError, InputError
from samref.prompts.split_then_merge import SplitThenMerge
from tests.factories_benchmarks import SIZE, make_voc, save_image


def save_mat(path, labels):
    """As SBD's: a struct GTcls with Boundaries, Segmentation and CategoriesPresent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    present = np.unique(labels[labels > 0])
    savemat(path, {"GTcls": {"Boundaries": [], "Segmentation": labels, "CategoriesPresent": present}})


@pytest.fixture
def folders(tmp_path):
    """VOC with one image in train and one in val; SBD labels both and two more."""
    voc, sbd = make_voc(tmp_path / "voc"), tmp_path / "sbd"
    lists = voc.root / "ImageSets" / "Segmentation"
    lists.joinpath("train.txt").write_text(f"{voc.names[0]}\n")
    lists.joinpath("val.txt").write_text(f"{voc.names[1]}\n")
    labels = {}
    for seed, name in enumerate([voc.names[0], voc.names[1], "2008_000004", "2010_000005"]):
        labels[name] = np.random.default_rng(seed).integers(0, 21, SIZE).astype(np.uint8)
        save_mat(sbd / "cls" / f"{name}.mat", labels[name])
        if seed > 1:
            save_image(voc.root / "JPEGImages" / f"{name}.jpg", seed)
    (sbd / "train.txt").write_text("2008_000004\n" + voc.names[1] + "\n")
    (sbd / "val.txt").write_text("2010_000005\n" + voc.names[0] + "\n")
    return voc, sbd, labels


def test_voc_keeps_its_labels_sbd_adds_its_own_and_val_stays_out(folders, capsys):
    voc, sbd, labels = folders
    assert main(["datasets", "trainaug", str(voc.root), str(sbd)]) == 0
    assert "3 images (complete: 10582)" in capsys.readouterr().out
    stm = SplitThenMerge(enabled=False, rule="paper", mu=0.5)
    folder = voc.root / "SegmentationClassAug"
    data = VocDataset(voc.root, "trainaug", folder, "SegmentationClassAug", stm, False, None)
    truth = {data.image_id(k): data[k].label_map for k in range(len(data))}
    assert set(truth) == {voc.names[0], "2008_000004", "2010_000005"}
    assert (truth[voc.names[0]] == voc.truth[voc.names[0]]).all()
    for name in ("2008_000004", "2010_000005"):
        assert (truth[name] == labels[name]).all()
        with Image.open(folder / f"{name}.png") as image:
            assert image.getpalette()[:60] == voc_palette()[:60]
    assert not (folder / f"{voc.names[1]}.png").exists()


def test_what_is_missing_or_damaged_is_named(folders):
    voc, sbd, _ = folders
    save_mat(sbd / "cls" / "x.mat", np.full(SIZE, 21, np.uint8))
    with pytest.raises(InputError, match="expected H x W classes 0 to 20"):
        read_sbd_labels(sbd / "cls" / "x.mat")
    (sbd / "cls" / "2008_000004.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(InputError, match=r"2008_000004\.mat cannot be read as SBD's labels"):
        make_augmented(voc.root, sbd)
    (sbd / "cls" / "2008_000004.mat").unlink()
    with pytest.raises(DatasetError, match=r"2008_000004\.mat missing"):
        make_augmented(voc.root, sbd)
    assert not (voc.root / "ImageSets" / "Segmentation" / "trainaug.txt").exists()


def test_two_folders_are_wanted(capsys):
    assert main(["datasets", "trainaug", "VOC2012"]) == 1
    assert "two folders" in capsys.readouterr().err
