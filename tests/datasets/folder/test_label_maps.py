"""Folders whose files hold one label a pixel: objects, backgrounds, regions, and what comes out."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from samref.errors import ConfigError, InputError
from samref.prompts.split_then_merge import SplitThenMerge
from tests.datasets.folder.folders import SIZE, folder, same, save_labels, write
from tests.factories_benchmarks import refined

STM = SplitThenMerge(enabled=True, rule="paper", mu=0.5)


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


def test_label_maps_takes_three_values(root):
    with pytest.raises(ConfigError, match="label_maps is 'maybe'; expected auto, true or false"):
        folder(root, label_maps="maybe")


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
