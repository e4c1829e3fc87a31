"""A user's own folder: what goes in, what comes out, and that the input stays as it is."""

import hashlib

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from samref.datasets.folder.folder import Folder
from samref.errors import ConfigError, DatasetError, InputError
from samref.prompts.split_then_merge import SplitThenMerge
from tests.factories import PALETTE, blob, make_folder, save_mask, save_photo
from tests.factories_benchmarks import refined

SIZE = (48, 80)


@pytest.fixture
def root(tmp_path):
    return make_folder(tmp_path / "data", names=("a", "sub/deep/b"), truth=True)


def folder(root, **options):
    return Folder(root / "images", root / "masks", **options)


def fingerprints(root):
    return {path: hashlib.sha256(path.read_bytes()).digest() for path in root.rglob("*") if path.is_file()}


def write(dataset, output, change):
    """Writes all samples with masks changed by a function of the sample."""
    writer = dataset.writer(output)
    for k in range(len(dataset)):
        sample = dataset[k]
        writer.write(sample, refined(change(sample)))
    writer.close()


def opposite(sample):
    return ~sample.masks


def same(sample):
    return sample.masks.copy()


def save_labels(path, values, palette=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette:
        image.putpalette(PALETTE)
    image.save(path)


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


def test_label_maps_give_an_object_a_label_and_keep_palette_and_ignored_pixels(root, tmp_path):
    values = np.zeros(SIZE, np.uint8)
    values[:20, :30], values[20:40, :30], values[:, 70:] = 3, 1, 255
    save_labels(root / "masks" / "a.png", values)
    sample = folder(root)[0]
    assert sample.object_ids == ("a.png:1", "a.png:3")
    assert (sample.masks == np.stack([values == 1, values == 3])).all()

    def grown(sample):
        masks = np.zeros_like(sample.masks)
        masks[:, 10:30] = True
        masks[1, 25:35] = True
        return masks

    writer = folder(root).writer(tmp_path / "out")
    outcome = refined(grown(sample))
    outcome.predicted_iou = np.array([0.9, 0.8], np.float32)
    writer.write(sample, outcome)
    expected = np.zeros(SIZE, np.uint8)
    expected[10:30], expected[30:35] = 1, 3
    expected[:, 70:] = 255
    written = Image.open(tmp_path / "out" / "a.png")
    assert written.mode == "P"
    assert written.getpalette() == Image.open(root / "masks/a.png").getpalette()
    assert (np.array(written) == expected).all()
    outcome.logits = np.stack([np.zeros(SIZE), np.ones(SIZE)]).astype(np.float32)
    writer.write(sample, outcome)
    assert np.array(Image.open(tmp_path / "out" / "a.png"))[12, 0] == 3


def save_dense(path, mode="P"):
    """A label map of 0, 1, 2 and 3 without background: road below, sky above, two things between."""
    values = np.full(SIZE, 2, np.uint8)
    values[30:], values[10:40, 5:25], values[10:40, 40:60], values[:2] = 0, 1, 3, 255
    save_labels(path, values, palette=False)
    if mode == "P":
        image = Image.open(path)
        image.putpalette([128, 64, 128, 220, 20, 60, 70, 130, 180, 0, 0, 142, *[9] * 756])
        image.save(path)
    return values


def shrunk(sample):
    return np.stack([erode(mask, 3) for mask in sample.masks])


def erode(mask, by):
    return ndimage.binary_erosion(mask, iterations=by)


def test_where_every_pixel_has_a_label_none_is_lost_to_0(root, tmp_path):
    values = save_dense(root / "masks" / "a.png")
    sample = folder(root)[0]
    assert sample.object_ids == ("a.png:0", "a.png:1", "a.png:2", "a.png:3")
    assert "no label shows black" in sample.meta["warnings"][0]
    write(folder(root), tmp_path / "out", shrunk)
    assert (np.array(Image.open(tmp_path / "out/a.png")) == values).all()
    assert folder(root, background=2)[0].object_ids == ("a.png:0", "a.png:1", "a.png:3")


def test_gray_label_maps_whose_labels_border_on_each_other_are_a_warning(root, tmp_path):
    values = save_dense(root / "masks" / "a.png", "L")
    data = folder(root, label_maps=True)
    assert data[0].object_ids == ("a.png:1", "a.png:2", "a.png:3")
    assert "give dataset.background=null" in data[0].meta["warnings"][0]
    data = folder(root, label_maps=True, background=None)
    assert (data[0].object_ids[0], data[0].meta["warnings"]) == ("a.png:0", ())
    write(data, tmp_path / "out", shrunk)
    assert (np.array(Image.open(tmp_path / "out/a.png")) == values).all()
    assert folder(root, label_maps=True, background=0)[0].meta["warnings"] == ()


def test_the_background_of_a_palette_is_what_shows_black(root, tmp_path):
    values = np.full(SIZE, 2, np.uint8)
    values[5:20, 5:20], values[5:20, 40:60] = 0, 1
    save_labels(root / "masks" / "a.png", values, palette=False)
    image = Image.open(root / "masks" / "a.png")
    image.putpalette([255, 255, 255, 220, 20, 60, 0, 0, 0])
    image.save(root / "masks" / "a.png")
    sample = folder(root)[0]
    assert (sample.object_ids, sample.meta["warnings"]) == (("a.png:0", "a.png:1"), ())
    write(folder(root), tmp_path / "out", shrunk)
    written = np.array(Image.open(tmp_path / "out/a.png"))
    assert [(written == label).sum() for label in (0, 1)] == [81, 126]
    assert ((written == 2) == ~np.isin(written, [0, 1])).all()


def test_what_a_run_reports_is_what_the_file_holds(root, tmp_path):
    values = np.zeros(SIZE, np.uint8)
    values[5:20, 5:20], values[5:20, 22:40], values[25:40, 5:20], values[30:34, 50:54] = 1, 2, 3, 4
    save_labels(root / "masks" / "a.png", values)
    data = folder(root)
    sample = data[0]
    grown = np.stack([ndimage.binary_dilation(mask, iterations=8) for mask in sample.masks])
    grown[1], grown[3] = sample.masks[1], np.roll(sample.masks[3], -35, axis=1)
    outcome = refined(grown.copy(), ["refined", "kept", "refined", "refined"])
    outcome.predicted_iou = np.array([0.9, 0.1, 0.8, 0.2], np.float32)
    data.settle(sample, outcome)
    data.writer(tmp_path / "out").write(sample, outcome)
    written = np.array(Image.open(tmp_path / "out" / "a.png"))
    for k, label in enumerate((1, 2, 3, 4)):
        assert (outcome.masks[k] == (written == label)).all()
    assert (outcome.masks[1] == sample.masks[1]).all()
    assert outcome.flags == ("refined", "kept", "refined", "kept")
    assert outcome.rejected[3].sum() == 16 and (outcome.masks[3] == sample.masks[3]).all()
    # To the kept mask beside it, and nothing to the region of less predicted IoU below.
    assert outcome.overlap.tolist() == [(grown[0] & grown[1]).sum(), 0, (grown[2] & (grown[0] | grown[1])).sum(), 0]


def test_a_label_map_without_labels_is_kept(root, tmp_path):
    values = np.zeros(SIZE, np.uint8)
    values[:, 70:] = 255
    save_labels(root / "masks" / "a.png", values)
    sample = folder(root)[0]
    assert sample.masks.shape == (0, *SIZE)
    assert "nothing but background and {255}" in sample.meta["problems"][0].reason
    write(folder(root), tmp_path / "out", same)
    assert (tmp_path / "out/a.png").read_bytes() == (root / "masks/a.png").read_bytes()


def test_truth_of_a_label_map_is_matched_by_label(root):
    coarse, truth = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    coarse[:10], coarse[10:20] = 2, 5
    truth[:12], truth[30:] = 2, 9
    save_labels(root / "masks" / "a.png", coarse)
    save_labels(root / "truth" / "a.png", truth, palette=False)
    sample = folder(root, truth=root / "truth")[0]
    assert sample.object_ids == ("a.png:2", "a.png:5")
    assert (sample.truth[0] == (truth == 2)).all()
    assert not sample.truth[1].any()


def test_gray_label_maps_need_an_option(root):
    values = np.zeros(SIZE, np.uint8)
    values[:9], values[9:15], values[40:] = 1, 2, 255
    save_labels(root / "masks" / "a.png", values, palette=False)
    with pytest.raises(InputError, match=r"a\.png holds the values \{0, 1, 2, 255\}; expected \{0, 1\} or \{0, 255\}"):
        folder(root)[0]
    assert folder(root, label_maps=True)[0].object_ids == ("a.png:1", "a.png:2")
    assert (folder(root, threshold=2)[0].masks[0] == (values >= 2)).all()


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


def test_label_maps_takes_three_values(root):
    with pytest.raises(ConfigError, match="label_maps is 'maybe'; expected auto, true or false"):
        folder(root, label_maps="maybe")


STM = SplitThenMerge(enabled=True, rule="paper", mu=0.5)


def in_two_parts(root):
    values = np.zeros(SIZE, np.uint8)
    values[2:12, 2:12], values[30:40, 60:70], values[20:24, 2:6] = 1, 1, 3
    save_labels(root / "masks" / "a.png", values)
    return values


def test_regions_of_a_label_are_refined_one_by_one_and_written_as_one_label(root, tmp_path):
    values = in_two_parts(root)
    data = folder(root, stm=STM)
    sample = data[0]
    assert sample.object_ids == ("a.png:1:1", "a.png:1:2", "a.png:3")
    assert sample.masks.sum(axis=(1, 2)).tolist() == [100, 100, 16]
    assert data[1].object_ids == ("b.png",)
    write(data, tmp_path / "out", lambda s: np.roll(s.masks, 1, axis=2))
    assert (np.array(Image.open(tmp_path / "out" / "a.png")) == np.roll(values, 1, axis=1)).all()
    assert folder(root, stm=SplitThenMerge(enabled=False, rule="paper", mu=0.5))[0].object_ids == ("a.png:1", "a.png:3")


def test_regions_are_scored_as_the_objects_they_are_parts_of(root):
    values = in_two_parts(root)
    save_labels(root / "truth" / "a.png", np.roll(values, 2, axis=1))
    split, whole = folder(root, truth=root / "truth", stm=STM), folder(root, truth=root / "truth")
    scores = []
    for data in (split, whole):
        scorer, sample = data.scorer(), data[0]
        columns = scorer.update(sample, refined(np.roll(sample.masks, 1, axis=2)))
        scores.append(scorer.compute())
        # A shift by 2 of squares with side 10: (8 / 12); by 1: 9 / 11.
        assert columns["coarse_iou"][0] == pytest.approx(8 / 12)
        assert columns["refined_iou"].tolist() == pytest.approx([9 / 11] * (len(sample.masks) - 1) + [3 / 5])
    assert scores[0]["coarse"] == scores[1]["coarse"]
    assert scores[0]["refined"].items() <= scores[1]["refined"].items()


def test_a_label_of_specks_alone_stays_whole(root):
    values = np.zeros(SIZE, np.uint8)
    values[::8, ::8] = 2
    save_labels(root / "masks" / "a.png", values)
    sample = folder(root, stm=SplitThenMerge(enabled=True, rule="released", mu=0.5))[0]
    assert (sample.masks == (values == 2)).all()
    assert sample.object_ids == ("a.png:2",)
