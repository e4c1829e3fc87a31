import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from samref.datasets.voc.voc import VocDataset
from samref.errors import DatasetError, InputError
from samref.prompts.split_then_merge import SplitThenMerge
from samref.structures import Sample
from tests.factories_benchmarks import SIZE, make_voc, refined, save_cam, save_gray, save_labels

STM = SplitThenMerge(enabled=True, rule="paper", mu=0.5)
WHOLE = SplitThenMerge(enabled=False, rule="paper", mu=0.5)


@pytest.fixture
def voc(tmp_path):
    return make_voc(tmp_path / "VOC2012")


def dataset(voc, **options):
    defaults = {
        "root": voc.root,
        "split": "val",
        "coarse": voc.coarse,
        "truth": "SegmentationClass",
        "stm": STM,
        "allow_pickle": False,
        "cam_maps": None,
    }
    return VocDataset(**{**defaults, **options})


def test_masks_are_the_regions_of_each_category(voc):
    data = dataset(voc)
    assert [data.image_id(k) for k in range(len(data))] == voc.names
    sample = data[1]
    assert sample.object_ids == ((8, 1), (8, 2), (15, 1)) and sample.meta["categories"] == (8, 8, 15)
    assert [int(mask.sum()) for mask in sample.masks] == [15 * 20, 15 * 20, 18 * 22]
    assert (sample.label_map == voc.truth[voc.names[1]]).all() and sample.label_map.dtype == np.uint8
    assert sample.truth is None and data.protocol == "semantic"


def test_categories_stay_whole_without_splitting(voc):
    sample = dataset(voc, stm=WHOLE)[1]
    assert sample.object_ids == ((8, 1), (15, 1))
    assert int(sample.masks[0].sum()) == 2 * 15 * 20


def test_an_image_of_background_has_no_masks(voc):
    assert dataset(voc)[2].masks.shape == (0, *SIZE)


def test_regions_merge_back_to_the_coarse_labels_with_ignored_pixels_as_background(voc):
    data = dataset(voc)
    for k in range(len(data)):
        sample = data[k]
        coarse = sample.meta["coarse"]
        assert (data.merge(sample, sample.masks, None) == np.where(coarse == 255, 0, coarse)).all()
    assert (data[1].meta["coarse"] == 255).any()


def test_the_higher_logit_wins_and_unclaimed_pixels_are_background(voc):
    data = dataset(voc)
    sample = labeled([[8, 8, 15, 0]], (8, 15))
    masks = np.array([[[1, 1, 1, 0]], [[0, 1, 1, 0]]], bool)
    logits = np.array([[[1.0, 2.0, 3.0, 9.0]], [[5.0, 4.0, 2.5, 9.0]]], np.float32)
    assert data.merge(sample, masks, logits).tolist() == [[8, 15, 8, 0]]


def test_without_logits_the_coarse_labels_decide_then_the_lowest_category(voc):
    sample = labeled([[8, 15, 0, 0]], (8, 15))
    masks = np.array([[[1, 1, 1, 0]], [[1, 1, 1, 0]]], bool)
    assert dataset(voc).merge(sample, masks, None).tolist() == [[8, 15, 8, 0]]


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_merging_is_the_highest_claimed_logit_pixel_by_pixel(seed):
    rng = np.random.default_rng(seed)
    count, size = int(rng.integers(0, 5)), (4, 5)
    categories = tuple(sorted(int(value) for value in rng.integers(1, 21, count)))
    masks, logits = rng.random((count, *size)) < 0.6, rng.normal(size=(count, *size)).astype(np.float32)
    merged = VocDataset.merge(None, labeled(np.zeros(size), categories), masks, logits)
    for y in range(size[0]):
        for x in range(size[1]):
            claims = [(logits[n, y, x], category) for n, category in enumerate(categories) if masks[n, y, x]]
            assert merged[y, x] == (max(claims)[1] if claims else 0)


def labeled(coarse, categories):
    coarse = np.array(coarse, np.uint8)
    image = np.zeros((*coarse.shape, 3), np.uint8)
    meta = {"coarse": coarse, "categories": categories}
    return Sample(
        image, np.zeros((len(categories), *coarse.shape), bool), "x", tuple(range(len(categories))), meta=meta
    )


def test_labels_are_written_under_their_name_with_their_palette_and_ignored_pixels(voc, tmp_path):
    data = dataset(voc)
    writer = data.writer(tmp_path / "out")
    sample = data[1]
    writer.write(sample, refined(sample.masks))
    writer.close()
    source, target = (Image.open(folder / f"{voc.names[1]}.png") for folder in (voc.coarse, tmp_path / "out"))
    assert target.mode == "P" and target.getpalette() == source.getpalette()
    assert (np.asarray(target) == np.asarray(source)).all() and (np.asarray(target) == 255).any()


def test_a_refined_mask_claims_ignored_pixels(voc, tmp_path):
    data = dataset(voc, stm=WHOLE)
    sample = data[1]
    everything = np.stack([np.zeros(SIZE, bool), np.ones(SIZE, bool)])
    data.writer(tmp_path).write(sample, refined(everything))
    assert set(np.unique(np.asarray(Image.open(tmp_path / f"{voc.names[1]}.png")))) == {15}


def test_gray_labels_come_back_gray(voc, tmp_path):
    save_gray(voc.coarse / f"{voc.names[0]}.png", np.full(SIZE, 3))
    data = dataset(voc)
    data.writer(tmp_path).write(data[0], refined(data[0].masks))
    assert Image.open(tmp_path / f"{voc.names[0]}.png").mode == "L"


def test_activation_maps_give_the_same_samples_and_come_back_as_labels(tmp_path):
    drawn, cams = make_voc(tmp_path / "a"), make_voc(tmp_path / "b", cams=True)
    of_labels, of_cams = dataset(drawn), dataset(cams, allow_pickle=True)
    for k in range(len(of_labels)):
        assert of_cams[k].object_ids == of_labels[k].object_ids
        assert (of_cams[k].masks == of_labels[k].masks).all()
    of_cams.writer(tmp_path / "out").write(of_cams[0], refined(of_cams[0].masks))
    written = Image.open(tmp_path / "out" / f"{cams.names[0]}.png")
    assert written.getpalette()[3:9] == [128, 0, 0, 0, 128, 0]


def test_activation_maps_want_consent(tmp_path):
    voc = make_voc(tmp_path, cams=True)
    with pytest.raises(DatasetError, match=r"dataset\.allow_pickle=true"):
        dataset(voc)


def test_a_networks_scores_are_read_as_they_are_and_need_no_consent(tmp_path):
    voc = make_voc(tmp_path / "a")
    expected = [dataset(voc)[k].meta["coarse"] for k in range(3)]
    for name, labels in zip(voc.names, expected, strict=True):
        scores = (labels == np.arange(21)[:, None, None]).astype(np.float32) * 9 - 4
        np.save(tmp_path / f"{name}.npy", scores[:, ::2, ::2])
    data = dataset(voc, coarse=tmp_path)
    for k, labels in enumerate(expected):
        scores = torch.from_numpy(np.load(tmp_path / f"{voc.names[k]}.npy"))
        whole = torch.nn.functional.interpolate(scores[None], labels.shape, mode="bilinear")[0].argmax(0)
        assert (data[k].meta["coarse"] == whole.numpy()).all()
        assert (data[k].meta["coarse"] == labels)[labels != 255].mean() > 0.9
    np.save(tmp_path / f"{voc.names[0]}.npy", np.zeros((20, 4, 4), np.float32))
    with pytest.raises(InputError, match=r"shape \(20, 4, 4\) .* expected 21 x h x w"):
        data[0]


def test_without_truth_nothing_is_scored(voc):
    data = dataset(voc, truth=None)
    assert data.protocol == "none" and data[0].label_map is None


def test_lists_with_paths_name_the_same_images(voc):
    split = voc.root / "ImageSets" / "Segmentation" / "train_aug.txt"
    split.write_text("".join(f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png\n" for name in voc.names))
    assert len(dataset(voc, split="train_aug")) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"root": None}, r"dataset\.root=DIR"),
        ({"coarse": None}, r"dataset\.coarse=DIR"),
        ({"split": "test"}, r"test\.txt is missing"),
        ({"truth": "SegmentationClassAug"}, r"lacks 3 of the split's 3 files .*dataset\.truth"),
        ({"coarse": "nowhere"}, r"nowhere lacks 3 .*dataset\.coarse"),
    ],
)
def test_what_is_missing_is_named(voc, options, words):
    with pytest.raises(DatasetError, match=words):
        dataset(voc, **options)


def test_one_missing_coarse_file_is_named(voc):
    (voc.coarse / f"{voc.names[1]}.png").unlink()
    with pytest.raises(DatasetError, match=f"lacks 1 of the split's 3 files \\({voc.names[1]}\\)"):
        dataset(voc)


def test_labels_of_another_size_or_kind_are_input_errors(voc):
    save_labels(voc.coarse / f"{voc.names[0]}.png", np.zeros((5, 5), np.uint8))
    save_labels(voc.coarse / f"{voc.names[1]}.png", np.full(SIZE, 77, np.uint8))
    (voc.coarse / f"{voc.names[2]}.png").write_bytes(b"no image")
    data = dataset(voc)
    for k, words in ((0, r"\(5, 5\)"), (1, r"\[77\]"), (2, voc.names[2])):
        with pytest.raises(InputError, match=words):
            data[k]


def test_regions_of_the_released_rule_reach_the_sample(voc):
    labels = np.zeros(SIZE, np.uint8)
    labels[5:15, 5:15] = 3
    labels[30, 30] = 3
    save_labels(voc.coarse / f"{voc.names[0]}.png", labels)
    released = dataset(voc, stm=SplitThenMerge(enabled=True, rule="released", mu=0.5))
    assert [len(data[0].masks) for data in (dataset(voc), released)] == [2, 1]


def test_smaller_activation_maps_are_enlarged(tmp_path):
    voc = make_voc(tmp_path, cams=True)
    half = np.zeros((SIZE[0] // 2, SIZE[1] // 2), np.uint8)
    half[:, 10:] = 4
    save_cam(voc.coarse / f"{voc.names[0]}.npy", half)
    (mask,) = dataset(voc, allow_pickle=True)[0].masks
    assert mask[:, 21:].all() and not mask[:, :19].any()
