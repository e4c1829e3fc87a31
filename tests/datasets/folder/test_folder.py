"""A user's own folder: what goes in, what comes out, and that the input stays as it is."""

import numpy as np
import pytest
from PIL import Image

from samref.datasets.folder.folder import Folder
from samref.errors import ConfigError, DatasetError, InputError
from tests.datasets.folder.folders import SIZE, fingerprints, folder, opposite, same, write
from tests.factories import blob, make_folder, save_mask, save_photo


def test_a_sample_is_an_image_with_its_masks(root):
    dataset = folder(root)
    assert dataset.protocol == "none"
    assert [dataset.image_id(k) for k in range(len(dataset))] == ["a", "sub/deep/b"]
    sample = dataset[1]
    assert sample.truth is None
    assert sample.object_ids == ("b.png",)
    assert (sample.masks[0] == (np.array(Image.open(root / "masks/sub/deep/b.png")) > 0)).all()
    assert dataset.problems == []


def test_ground_truth_of_another_encoding_makes_it_scored(root):
    dataset = folder(root, truth=root / "truth")
    assert dataset.protocol == "overlap"
    assert (dataset[0].truth[0] == (np.array(Image.open(root / "truth/a.png")) == 1)).all()


def test_refined_masks_have_the_coarse_ones_names_and_the_input_is_untouched(root, tmp_path):
    before = fingerprints(root)
    write(folder(root), tmp_path / "out", opposite)
    assert fingerprints(root) == before
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["a.png", "sub/deep/b.png"]
    coarse = np.array(Image.open(root / "masks/a.png"))
    assert (np.array(Image.open(tmp_path / "out/a.png")) == 255 - coarse).all()
    assert [str(path) for path in folder(root).outputs(1)] == ["sub/deep/b.png"]


def test_a_mask_that_did_not_change_is_copied_byte_by_byte(root, tmp_path):
    write(folder(root), tmp_path / "out", same)
    for name in ("a.png", "sub/deep/b.png"):
        assert (tmp_path / "out" / name).read_bytes() == (root / "masks" / name).read_bytes()


def test_several_objects_of_an_image_are_one_sample(root, tmp_path):
    (root / "masks" / "a.png").unlink()
    for k in (1, 2, 10):
        save_mask(root / "masks" / f"a_{k}.png", blob(SIZE, k))
    sample = folder(root)[0]
    assert sample.object_ids == ("a_1.png", "a_2.png", "a_10.png")
    assert (sample.masks[2] == blob(SIZE, 10)).all()
    write(folder(root), tmp_path / "out", lambda s: np.roll(s.masks, 1, axis=0))
    assert (np.array(Image.open(tmp_path / "out/a_2.png")) == np.array(Image.open(root / "masks/a_1.png"))).all()


@pytest.mark.parametrize("orientation", [6, 8])
def test_masks_drawn_on_the_turned_photo_or_on_its_stored_frame_both_fit(root, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.open(root / "images" / "a.jpg")
    image.save(root / "images" / "a.jpg", exif=exif)
    assert folder(root)[0].image.shape == (48, 80, 3)
    save_mask(root / "masks" / "a.png", blob(SIZE, 0).T)
    assert folder(root)[0].image.shape == (80, 48, 3)


def test_a_mask_of_another_size_is_named_with_both_shapes(root):
    save_mask(root / "masks" / "a.png", blob((30, 20), 0))
    with pytest.raises(InputError, match=r"masks/a\.png is 30 x 20, but its image .*a\.jpg is 48 x 80"):
        folder(root)[0]
    (root / "masks" / "a.png").unlink()
    save_mask(root / "masks" / "a_1.png", blob(SIZE, 0))
    save_mask(root / "masks" / "a_2.png", blob((30, 20), 0))
    with pytest.raises(InputError, match=r"masks/a_2\.png is 30 x 20, but another mask of its image, .*a_1\.png"):
        folder(root)[0]


def test_files_without_counterpart_are_problems_and_do_not_stop_the_run(root):
    save_photo(root / "images" / "lonely.png", SIZE, 1)
    save_mask(root / "masks" / "orphan_3.png", blob(SIZE, 1))
    dataset = folder(root)
    assert len(dataset) == 2
    assert {p.reason for p in dataset.problems} == {
        "image lonely.png has no mask of its name",
        "mask orphan_3.png has no image of its name",
    }


def test_images_without_ground_truth_are_left_out_and_reported(root):
    (root / "truth" / "a.png").unlink()
    dataset = folder(root, truth=root / "truth")
    assert [dataset.image_id(0), len(dataset)] == ["sub/deep/b", 1]
    assert [p.reason for p in dataset.problems] == ["mask a.png has no ground truth of its name"]


def test_nothing_that_fits_is_an_error_with_examples(root, tmp_path):
    other = make_folder(tmp_path / "other", names=("x", "y"))
    with pytest.raises(DatasetError, match=r"images holds a\.jpg, sub/deep/b\.jpg; .*masks holds x\.png, y\.png"):
        Folder(root / "images", other / "masks")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="empty holds no image file"):
        Folder(root / "images", tmp_path / "empty")


@pytest.mark.parametrize("option", ["images", "masks", "truth"])
def test_a_missing_folder_names_its_option(root, option):
    given = {"images": root / "images", "masks": root / "masks", "truth": root / "truth", option: root / "nowhere"}
    with pytest.raises(DatasetError, match=rf"dataset\.{option}=.*nowhere is not a folder"):
        Folder(**given)
    if option != "truth":
        with pytest.raises(DatasetError, match=rf"needs dataset\.{option}=DIR"):
            Folder(**{**given, option: None})


@pytest.mark.parametrize("inside", ["images", "masks", "truth", "masks/new", "images/sub", "link"])
def test_the_output_is_never_among_the_input(root, inside):
    (root / "link").symlink_to(root / "masks")
    with pytest.raises(DatasetError, match=r"dataset\.output=.* lies in dataset\.(images|masks|truth)="):
        folder(root, truth=root / "truth", output=root / inside)
    with pytest.raises(DatasetError, match="choose a folder outside"):
        folder(root, truth=root / "truth").writer(root / inside)


def test_an_output_around_the_input_never_overwrites_it(tmp_path):
    root = make_folder(tmp_path, names=("masks/a",))
    before = fingerprints(root / "masks")
    with pytest.raises(InputError, match=r"masks/a\.png is among the coarse masks"):
        write(folder(root), root, opposite)
    assert fingerprints(root / "masks") == before


def test_masks_may_lie_inside_the_folder_of_images(tmp_path):
    root = make_folder(tmp_path / "x")
    (root / "masks").rename(root / "images" / "masks")
    dataset = Folder(root / "images", root / "images" / "masks")
    assert (len(dataset), dataset.problems) == (2, [])
    with pytest.raises(DatasetError, match="are one folder"):
        Folder(root / "images", root / "images")


def test_an_output_inside_an_earlier_run_does_not_become_input(tmp_path):
    root = make_folder(tmp_path / "x", names=("a",))
    write(folder(root), root / "out", opposite)
    assert len(folder(root, output=root / "out")) == 1


def test_images_and_masks_may_share_a_folder_if_masks_have_a_suffix(tmp_path):
    root = make_folder(tmp_path / "x")
    for path in (root / "masks").iterdir():
        path.rename(root / "images" / f"{path.stem}_m.png")
    with pytest.raises(DatasetError, match=r"are one folder.*dataset\.mask_suffix=_mask"):
        Folder(root / "images", root / "images")
    data = Folder(root / "images", root / "images", mask_suffix="_m")
    assert ([data.image_id(k) for k in range(len(data))], data.problems, data.warnings) == (["a", "b"], [], [])
    write(data, tmp_path / "out", opposite)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a_m.png", "b_m.png"}
    save_mask(root / "masks" / "a_color.png", blob(SIZE, 0))
    save_mask(root / "masks" / "a_m.png", blob(SIZE, 0))
    data = Folder(root / "images", root / "masks", mask_suffix="_m", image_suffix="")
    assert data.warnings == ["files in dataset.masks that are left out, not being named *_m: 1"]


def test_a_threshold_may_be_a_fraction(root, tmp_path):
    scores = np.linspace(0, 1, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE)
    (root / "masks" / "a.png").unlink()
    Image.fromarray(scores).save(root / "masks" / "a.tif")
    data = folder(root, threshold=0.5)
    assert (data[0].masks[0] == (scores >= 0.5)).all()
    write(data, tmp_path / "out", opposite)
    assert (np.array(Image.open(tmp_path / "out/a.tif")) == (scores < 0.5)).all()


def test_options_of_another_kind_are_named(root):
    with pytest.raises(ConfigError, match=r"dataset\.background is 'black'; expected auto, null"):
        folder(root, background="black")
    with pytest.raises(ConfigError, match=r"dataset\.orientation is 'up'"):
        folder(root, orientation="up")


def test_unicode_names_go_in_and_out(tmp_path):
    root = make_folder(tmp_path / "données", names=("été 1", "日本/語"))
    write(folder(root), tmp_path / "out", opposite)
    assert {path.name for path in (tmp_path / "out").rglob("*.png")} == {"été 1.png", "語.png"}
