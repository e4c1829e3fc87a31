"""The page to try samref on, requested over HTTP as a browser does."""

import socket

import cv2
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from samref.backbones.tiny import TinySam
from samref.cli import page as app
from samref.cli.main import main
from samref.cli.trial import default_settings
from samref.refiners.samrefiner import SAMRefiner
from tests.factories import blob, photo, rough, save_mask

SIZE = (48, 80)


@pytest.fixture(scope="module")
def client():
    page = app.make_page(TinySam(img_size=128, seed=0), "tiny")
    _, url, _ = app.launch(page, prevent_thread_lock=True, quiet=True)
    assert url.startswith("http://127.0.0.1:")
    yield Client(url, verbose=False, analytics_enabled=False)
    page.close(verbose=False)


@pytest.fixture
def files(tmp_path):
    Image.fromarray(photo(SIZE, 0)).save(tmp_path / "photo.png")
    mask = rough(blob(SIZE, 0), 0)
    save_mask(tmp_path / "mask.png", mask)
    strokes = np.zeros((*SIZE, 4), np.uint8)
    strokes[mask] = (255, 166, 0, 153)
    Image.fromarray(strokes).save(tmp_path / "strokes.png")
    save_mask(tmp_path / "small.png", mask[:-1])
    Image.fromarray(photo(SIZE, 1)).save(tmp_path / "colors.png")
    return tmp_path


def posted(client, files, layers=(), mask=None, preset="paper", **changed):
    painting = {
        "background": handle_file(files / "photo.png"),
        "layers": [handle_file(files / layer) for layer in layers],
        "composite": None,
    }
    settings = {**default_settings(app.PRESETS[preset]), "verdict.enabled": False, **changed}
    path = None if mask is None else handle_file(files / mask)
    return client.predict(painting, path, preset, *(settings[key] for key in app.CONTROLS), api_name="/refine")


def test_painted_and_dropped_masks_come_back_refined(client, files):
    options = {"guard": False, "clean": True, "overrides": ["prompts.mask.omega=9"]}
    refiner = SAMRefiner.from_pretrained("tiny", device="cpu", **options)
    expected = refiner.refine(files / "photo.png", rough(blob(SIZE, 0), 0)).masks[0]
    for given in ({"layers": ["strokes.png"]}, {"mask": "mask.png"}):
        both, summary, mask, prompts, *candidates, rejected = posted(
            client, files, **given, **{"prompts.mask.omega": 9}
        )
        assert ((cv2.imread(mask, cv2.IMREAD_GRAYSCALE) > 0) == expected).all()
        assert "**refined**" in summary
        assert "python run.py dataset=folder prompts.mask.omega=9 verdict.enabled=False backbone=tiny" in summary
        assert all(cv2.imread(path) is not None for path in (*both, prompts, *candidates))
        assert not rejected["visible"]
        assert len(candidates) == 3


def test_without_a_mask_the_page_says_what_to_do(client, files):
    both, summary, *pictures = posted(client, files)
    assert summary == app.HINT
    assert not any(pictures) and not any(both or ())


@pytest.mark.parametrize(
    ("mask", "sentence"), [("small.png", "the mask file is (47, 80)"), ("colors.png", "is a color image")]
)
def test_a_mask_that_does_not_fit_is_one_sentence(client, files, mask, sentence):
    both, summary, *pictures = posted(client, files, mask=mask)
    assert sentence in summary and "\n" not in summary
    assert not any(pictures) and not any(both or ())


def test_a_preset_moves_the_controls(client):
    values = client.predict("released", api_name="/preset")
    assert dict(zip(app.CONTROLS, values, strict=True)) == default_settings("released")


def test_the_page_requests_nothing_of_other_hosts(client):
    assert client.config["analytics_enabled"] is False
    assert client.config["run_history"] is False
    assert not client.config["stylesheets"]


def test_transparent_photos_lie_on_white_and_soft_edges_are_cut_at_half():
    background = np.zeros((2, 3, 4), np.uint8)
    background[0, 0] = (10, 20, 30, 255)
    layer = np.zeros((2, 3, 4), np.uint8)
    layer[0, :, 3] = (127, 128, 255)
    image, mask = app.photo_and_mask({"background": background, "layers": [layer]}, None)
    assert image[0, 0].tolist() == [10, 20, 30] and image[1, 2].tolist() == [255, 255, 255]
    assert mask.tolist() == [[False, True, True], [False] * 3]


def test_what_cannot_be_served_is_one_sentence(capsys):
    assert main(["app", "--backbone", "nothing"]) == 1
    assert "there is no backbone=nothing" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["app", "--backbone", "tiny", "--port", str(port)]) == 1
    assert capsys.readouterr().err == (
        f"error: no page can be served at 127.0.0.1, port {port}; give another --port or --host\n"
    )
