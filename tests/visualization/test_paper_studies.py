"""The figures that compare: what they show is what the refiner and the features say."""

import numpy as np
import pytest
from PIL import Image

from samref.cli.illustrate import ON_REQUEST
from samref.cli.main import main
from samref.errors import InputError
from samref.geometry.frames import unpadded_features
from samref.geometry.masks import crop_mask, pair_iou
from samref.prompts.boxes import FeatureMap
from samref.refiners.samrefiner import SAMRefiner
from samref.visualization import paper_figures, paper_studies
from samref.visualization.gallery_items import as_fraction
from samref.visualization.paper_studies import (
    draw_gaussians,
    draw_grid,
    draw_points,
    draw_similarities,
    mask_similarities,
)
from samref.visualization.subject import Subject, encode
from tests.factories import blob, photo, rough, save_mask

SIZE = (60, 90)


@pytest.fixture(scope="module")
def refiner():
    return SAMRefiner.from_pretrained("tiny", device="cpu")


@pytest.fixture
def subject():
    truth = blob(SIZE, 0)
    return Subject(photo(SIZE, 0), rough(truth, 0), truth)


@pytest.fixture
def captions(monkeypatch):
    found = []
    for module in (paper_studies, paper_figures):

        def keep(canvas, text, strong=False, plain=module.captioned):
            found.append(text)
            return plain(canvas, text, strong)

        monkeypatch.setattr(module, "captioned", keep)
    return found


def corner(rows, columns):
    mask = np.zeros(SIZE, bool)
    mask[rows, columns] = True
    return mask


def test_similarities_are_cosines_of_mean_features(refiner, subject):
    embedding = encode(refiner, subject)
    masks = np.stack([corner(slice(5, 25), slice(5, 30)), corner(slice(30, 55), slice(50, 85)), subject.mask])
    features = FeatureMap(unpadded_features(embedding), SIZE)
    means = [features.queries([crop_mask(mask)])[0] for mask in masks]
    expected = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in means] for a in means]
    np.testing.assert_allclose(mask_similarities(embedding, masks), expected, atol=1e-5)


def test_parts_are_compared_with_the_largest_and_other_masks_with_the_subject(refiner, captions):
    parts = (
        corner(slice(5, 10), slice(5, 10)) | corner(slice(20, 50), slice(30, 70)) | corner(slice(50, 55), slice(0, 9))
    )
    parts |= corner(slice(0, 2), slice(80, 82))  # a speck
    whole = Subject(photo(SIZE, 0), parts)
    draw_similarities(refiner, whole)
    embedding = encode(refiner, whole)
    largest, *others = paper_studies._compared(whole, None)
    assert largest.sum() == 30 * 40
    lowest, *_, highest = sorted(mask_similarities(embedding, np.stack([largest, *others]))[0][1:])
    assert captions[-1] == f"2 parts of the mask: {lowest:.2f} to {highest:.2f}"
    one = Subject(photo(SIZE, 0), blob(SIZE, 1))
    draw_similarities(refiner, one, np.stack([corner(slice(0, 9), slice(0, 9))]))
    assert captions[-1].startswith("1 other mask: ")
    with pytest.raises(InputError, match="one region"):
        draw_similarities(refiner, one)


def test_the_original_mask_and_each_width_are_prompts_of_their_own(refiner, subject, captions):
    draw_gaussians(refiner, subject, gammas=(0.5, 4))
    assert captions[::2] == ["the coarse mask itself", "Gaussian, gamma 0.5", "Gaussian, gamma 4"]
    scores = [refiner.refine(subject.image, subject.mask).masks[0]]
    assert captions[5].endswith(f"IoU {pair_iou(scores[0], subject.truth):.3f}"), "gamma 4 is the refiner's own"


def test_points_are_drawn_as_the_only_prompt(refiner, subject, captions):
    draw_points(refiner, subject)
    expected = SAMRefiner.from_pretrained(
        "tiny", device="cpu", prompts="point", overrides=["prompts.point.negative=false"]
    ).refine(subject.image, subject.mask)
    assert captions[0::2] == ["center of the box", "distance-guided"]
    predicted, iou = as_fraction(expected.predicted_iou[0]), pair_iou(expected.masks[0], subject.truth)
    assert captions[3] == f"refined, predicted {predicted:.3f}, IoU {iou:.3f}"


def test_the_grid_is_drawn_beside_what_is_made_of_it(subject, captions):
    segments = np.stack([blob(SIZE, seed) for seed in (1, 2)])
    canvas = draw_grid(subject, segments, {"merged": subject.mask, "mined prompts": subject.truth})
    assert [text.split(",")[0] for text in captions] == ["coarse", "grid: 2 masks", "merged", "mined prompts", "truth"]
    assert captions[3] == "mined prompts, IoU 1.000"
    assert canvas.shape[2] == 3


def test_the_command_draws_what_is_chosen(tmp_path, capsys, captions):
    truth = blob(SIZE, 0)
    Image.fromarray(photo(SIZE, 0)).save(tmp_path / "dog.jpg")
    for name, mask in (("truth", truth), ("mask", rough(truth, 0)), ("other", blob(SIZE, 4))):
        save_mask(tmp_path / f"{name}.png", mask)
    words = [
        str(tmp_path / "dog.jpg"),
        str(tmp_path / "mask.png"),
        "--backbone",
        "tiny",
        "--out",
        str(tmp_path / "out"),
    ]
    more = ["--truth", str(tmp_path / "truth.png"), "--others", str(tmp_path / "other.png"), "--device", "cpu"]
    assert main(["illustrate", *words, *more, "--points", "3", "--only", *ON_REQUEST]) == 0, capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"mask_{name}.png" for name in ON_REQUEST}
    defects = captions[-(4 * 6 + 2 * 6) : -12]
    assert [text.split(",")[0] for text in defects[::6]] == ["super-pixels", "too large", "too small", "box"]
    assert [text.split(",")[0] for text in defects[1:6]] == ["point", "box", "coarse mask", "Gaussian mask", "all"]
    qualities = [float(text.rpartition(" ")[2]) for text in captions[-12::2]]
    assert qualities == sorted(qualities, reverse=True)
    assert qualities[0] == 1
    assert main(["illustrate", *words, "--only", "defects"]) == 1
    assert "--truth MASK" in capsys.readouterr().err
