"""The figures of one mask: their panels, their maps, and the command that writes them."""

import itertools

import cv2
import numpy as np
import pytest
from PIL import Image

from samref.cli.illustrate import FIGURES
from samref.cli.illustrations import read_subject
from samref.cli.main import main
from samref.geometry.frames import unpadded_features
from samref.geometry.masks import crop_mask
from samref.prompts.boxes import BoxPrompt, FeatureMap
from samref.refiners.samrefiner import SAMRefiner
from samref.structures import Embedding
from samref.visualization import paper_figures as illustrations
from samref.visualization.drawing import CAPTION_HEIGHT, GAP
from samref.visualization.gallery_items import as_fraction
from samref.visualization.paper_figures import COMBINATIONS, PANEL_SIDE, box_steps, draw_candidates, similarity
from samref.visualization.subject import Subject
from tests.factories import blob, photo, rough, save_mask

SIZE = (60, 90)
PANEL = (round(PANEL_SIDE * 60 / 90) + CAPTION_HEIGHT + GAP, PANEL_SIDE + GAP)


@pytest.fixture(scope="module")
def refiner():
    return SAMRefiner.from_pretrained("tiny", device="cpu")


@pytest.fixture
def files(tmp_path):
    Image.fromarray(photo(SIZE, 0)).save(tmp_path / "dog.jpg")
    truth = blob(SIZE, 0)
    save_mask(tmp_path / "truth.png", truth)
    save_mask(tmp_path / "mask.png", rough(truth, 0))
    return tmp_path


def smooth_embedding(size):
    """Features of a scene: a bright square in the middle of another thing."""
    import torch

    grid = np.zeros((4, 32, 48), np.float32)
    grid[0], grid[1, 8:24, 16:32], grid[0, 8:24, 16:32] = 1, 1, 0.1
    return Embedding(torch.from_numpy(np.pad(grid, ((0, 0), (0, 16), (0, 0))))[None], size, (32 * 16, 48 * 16))


def test_the_similarity_map_agrees_with_what_moves_the_box():
    size = (128, 192)
    embedding = smooth_embedding(size)
    mask = np.zeros(size, bool)
    mask[40:80, 70:120] = True
    cosine = cv2.resize(similarity(embedding, mask), size[::-1], interpolation=cv2.INTER_LINEAR)
    features = FeatureMap(unpadded_features(embedding), size)
    query = features.queries([crop_mask(mask)])[0]
    query_map = (query @ features.flat).reshape(features.grid)
    everywhere = slice(0, size[0]), slice(0, size[1])
    for threshold in (0.3, 0.5, 0.8):
        expected = features.similar(query_map, float(np.linalg.norm(query)), everywhere, threshold)
        assert ((cosine >= threshold) != expected).mean() < 0.02
    assert cosine[mask].min() > 0.9


def test_the_steps_of_the_box_grow_until_the_object_ends():
    size = (128, 192)
    mask = np.zeros(size, bool)
    mask[50:78, 80:112] = True
    setting = BoxPrompt(lam=0.1, max_pixels=10, steps=50, strip=0.1, similarity=0.5)
    boxes = box_steps(smooth_embedding(size), mask, setting)
    assert boxes[0] == (80, 50, 111, 77)
    assert 3 < len(boxes) < 50
    for (a, b, c, d), (x0, y0, x1, y1) in itertools.pairwise(boxes):
        assert x0 <= a
        assert y0 <= b
        assert x1 >= c
        assert y1 >= d
    assert np.abs(np.subtract(boxes[-1], (64, 32, 127, 95))).max() <= 12


def test_candidates_have_a_row_a_combination_and_one_chosen_each(refiner, monkeypatch):
    captions = []
    plain = illustrations.captioned
    monkeypatch.setattr(
        illustrations, "captioned", lambda c, t, strong=False: captions.append((t, strong)) or plain(c, t)
    )
    truth = blob(SIZE, 0)
    subject = Subject(photo(SIZE, 0), rough(truth, 0), truth)
    canvas = draw_candidates(refiner, subject)
    assert canvas.shape == (7 * PANEL[0], 5 * PANEL[1], 3)
    assert [text for text, _ in captions[::5]] == [" + ".join(parts) for parts in COMBINATIONS]
    for k, parts in enumerate(COMBINATIONS):
        single, *row = captions[5 * k + 1 : 5 * k + 5]
        assert single[0].startswith("single, predicted ")
        assert not single[1]
        assert sum(strong for _, strong in row) == 1
        whole = SAMRefiner.from_pretrained("tiny", device="cpu", prompts="_".join(parts) if len(parts) < 3 else "all")
        result = whole.refine(subject.image, subject.mask, truth)
        for c, (text, strong) in enumerate(row):
            assert text.startswith(
                f"predicted {as_fraction(result.iou_predictions[0, c]):.3f}, IoU {result.candidate_iou[0, c]:.3f}"
            )
            assert strong == (c == result.chosen[0]) == text.endswith("chosen")


def test_the_command_writes_every_figure(files, capsys, refiner):
    out = files / "out"
    words = [str(files / "dog.jpg"), str(files / "mask.png"), "prompts.mask.omega=30", "--backbone", "tiny"]
    assert main(["illustrate", *words, "--truth", str(files / "truth.png"), "--out", str(out), "--rounds", "2"]) == 0
    assert {path.name for path in out.iterdir()} == {f"mask_{name}.png" for name in FIGURES}
    assert capsys.readouterr().out.splitlines()[1:] == [str(out / f"mask_{name}.png") for name in FIGURES]
    sizes = {name: Image.open(out / f"mask_{name}.png").size for name in FIGURES}
    assert sizes["prompts"] == (3 * PANEL[1], 2 * PANEL[0])
    assert sizes["candidates"] == (5 * PANEL[1], 7 * PANEL[0])
    assert sizes["gaussians"] == (5 * PANEL[1], 2 * PANEL[0])
    assert sizes["points"] == (2 * PANEL[1], 2 * PANEL[0])
    assert sizes["regions"] == (3 * PANEL[1], 3 * PANEL[0])
    assert sizes["cascade"] == (3 * PANEL[1], PANEL[0])


def test_one_figure_alone_and_label_maps(files):
    labels = np.zeros(SIZE, np.uint8)
    labels[blob(SIZE, 3)] = 7
    Image.fromarray(labels).save(files / "labels.png")
    words = [str(files / "dog.jpg"), str(files / "labels.png"), "--backbone", "tiny", "--out", str(files / "one")]
    assert main(["illustrate", *words, "--label", "7", "--only", "box", "--device", "cpu", "prompts.box.lam=0.2"]) == 0
    assert [path.name for path in (files / "one").iterdir()] == ["labels_box.png"]
    assert (read_subject(files / "dog.jpg", files / "labels.png", label=7).mask == (labels == 7)).all()


@pytest.mark.parametrize(
    ("make", "words", "message"),
    [
        (np.zeros(SIZE), [], "holds nothing; expected at least one foreground pixel"),
        (np.zeros(SIZE), ["--label", "3"], "holds no pixel of label 3"),
        (np.ones((10, 10)), [], "is (10, 10) (H, W); expected the image's (60, 90)"),
        (np.full(SIZE, 3), [], "holds the values {3}; expected"),
        (np.ones(SIZE), ["nonsense=1"], "nonsense"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(files, capsys, make, words, message):
    Image.fromarray(make.astype(np.uint8)).save(files / "bad.png")
    arguments = [
        str(files / "dog.jpg"),
        str(files / "bad.png"),
        *words,
        "--backbone",
        "tiny",
        "--out",
        str(files / "o"),
    ]
    assert main(["illustrate", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (files / "o").exists()
