"""The page's server, requested over HTTP as its script does."""

import base64
import io
import json
import socket
import urllib.error
import urllib.request
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from samref.backbones.tiny import TinySam
from samref.cli.main import main
from samref.cli.page.controls import LABELS
from samref.cli.page.desk import Desk, drawn_url, mask_of
from samref.cli.page.server import PageServer
from samref.cli.trial import default_settings
from samref.errors import InputError
from samref.io.coco_masks import decode
from samref.refiners.samrefiner import SAMRefiner
from tests.factories import blob, make_folder, photo, rough, save_mask

SIZE = (48, 80)
PLAIN = {"verdict.enabled": False, "prompts.mask.omega": 9}


@pytest.fixture(scope="module")
def server():
    server = PageServer(Desk(TinySam(img_size=128, seed=0), "tiny"), port=0)
    assert server.url.startswith("http://127.0.0.1:")
    server.start()
    yield server
    server.close()


@pytest.fixture
def post(server):
    def post(action, headers=("X-Samref",), **given):
        known = dict.fromkeys(headers, "1")
        request = urllib.request.Request(server.url + action, json.dumps(given).encode(), known)
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return {"status": error.code, **json.load(error)}

    return post


def sent(path):
    return {"name": path.name, "content": base64.b64encode(path.read_bytes()).decode()}


@pytest.fixture
def masks():
    return np.array([rough(blob(SIZE, k), k) for k in range(2)])


@pytest.fixture
def opened(post, tmp_path):
    Image.fromarray(photo(SIZE, 0)).save(tmp_path / "my photo.png")
    return post("photo", **sent(tmp_path / "my photo.png"))


def refined(post, opened, masks, **changed):
    settings = {**default_settings(), **PLAIN, **changed}
    return post("refine", photo=opened["photo"], masks=[drawn_url(m) for m in masks], settings=settings, preset="paper")


def test_several_drawn_masks_come_back_refined_with_their_candidates(post, opened, masks):
    answer = refined(post, opened, masks)
    assert opened["size"] == [80, 48]
    assert [one["flag"] for one in answer["objects"]] == ["refined", "refined"]
    for one in answer["objects"]:
        assert [choice["name"] for choice in one["choices"]] == ["refined", "coarse", "1", "2", "3"]
        assert one["choices"][1]["agreement"] == 1.0
        assert all(choice["path"].startswith("M") for choice in one["choices"] if choice["pixels"])
        assert len(one["box"]) == 4 and one["points"]
    assert "samref refine IMAGES MASKS OUTPUT prompts.mask.omega=9" in answer["command"]
    assert "verdict.enabled=False" in answer["command"] and "backbone=tiny" in answer["command"]


def test_what_was_rejected_is_there_with_its_reason(post, opened, masks):
    answer = refined(post, opened, masks, **{"guard.enabled": True, "prompts": "point", "verdict.enabled": False})
    (kept,) = [one for one in answer["objects"] if one["flag"] == "kept"][:1]
    assert "rejected" in [choice["name"] for choice in kept["choices"]]


def expected_masks(masks):
    refiner = SAMRefiner.from_pretrained(
        "tiny", device="cpu", clean=True, overrides=[f"{key}={str(value).lower()}" for key, value in PLAIN.items()]
    )
    return refiner.refine(photo(SIZE, 0), masks, keep_candidates=True)


def test_what_is_chosen_is_what_is_saved_in_every_format(post, opened, masks):
    refined(post, opened, masks)
    expected = expected_masks(masks)
    chosen = np.array([expected.candidates[0, 2], masks[1]])

    def save(form, names=("3", "coarse")):
        answer = post("save", photo=opened["photo"], chosen=list(names), form=form)
        return answer["name"], base64.b64decode(answer["content"])

    name, content = save("png")
    files = zipfile.ZipFile(io.BytesIO(content))
    assert (name, files.namelist()) == ("my photo.zip", ["my photo_1.png", "my photo_2.png"])
    for k, mask in enumerate(chosen):
        stored = cv2.imdecode(np.frombuffer(files.read(files.namelist()[k]), np.uint8), cv2.IMREAD_UNCHANGED)
        assert (stored == mask * np.uint8(255)).all()
    name, content = save("labels")
    labels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert name == "my photo.png"
    assert (labels == np.where(chosen[1], 2, chosen[0])).all()
    name, content = save("coco", ("refined", "refined"))
    records = json.loads(content)["annotations"]
    for record, mask in zip(records, expected.masks, strict=True):
        assert (decode(record["segmentation"], SIZE) == mask).all()


def test_folders_are_walked_through_and_written_as_they_came(post, tmp_path):
    data = make_folder(tmp_path / "data", names=["a", "b"], size=SIZE)
    places = {key: str(tmp_path / "data" / key) for key in ("images", "masks")}
    assert post("folder", **places, output=str(tmp_path / "out")) == {"names": ["a", "b"], "written": [False, False]}
    for index, choice in ((0, "2"), (1, "coarse")):
        item = post("item", index=index)
        shown = np.array([mask_of(url, SIZE) for url in item["masks"]])
        refined(post, item, shown)
        assert post("accept", photo=item["photo"], chosen=[choice])["files"] == [
            str(tmp_path / "out" / f"{'ab'[index]}.png")
        ]
    assert post("folder", **places, output=str(tmp_path / "out"))["written"] == [True, True]
    (tmp_path / "out" / "b.png").unlink()
    assert post("keep", photo=item["photo"])["files"] == [str(tmp_path / "out" / "b.png")]
    assert (tmp_path / "out" / "b.png").read_bytes() == (data / "masks" / "b.png").read_bytes()
    first = cv2.imread(str(tmp_path / "out" / "a.png"), cv2.IMREAD_UNCHANGED) > 0
    assert (first != (cv2.imread(str(data / "masks" / "a.png"), cv2.IMREAD_UNCHANGED) > 0)).any()
    refined(post, item, np.concatenate([shown, shown]))
    answer = post("accept", photo=item["photo"], chosen=["coarse", "coarse"])
    assert answer["problem"].startswith("2 masks are drawn; expected 1, as in the files of b")


def test_a_mask_file_is_read_for_its_photo(post, opened, tmp_path, masks):
    save_mask(tmp_path / "mask.png", masks[0])
    answer = post("mask", photo=opened["photo"], **sent(tmp_path / "mask.png"))
    assert (mask_of(answer["mask"], SIZE) == masks[0]).all()


def test_what_does_not_fit_is_one_sentence(post, opened, tmp_path, masks):
    save_mask(tmp_path / "small.png", masks[0][:-1])
    Image.fromarray(photo(SIZE, 1)).save(tmp_path / "colors.png")
    for name, sentence in (("small.png", "the mask file is (47, 80)"), ("colors.png", "colors.png")):
        answer = post("mask", photo=opened["photo"], **sent(tmp_path / name))
        assert answer["status"] == 422 and sentence in answer["problem"] and "\n" not in answer["problem"]
    assert "the mask is empty" in refined(post, opened, np.zeros_like(masks))["problem"]
    assert "expected a number above 0" in refined(post, opened, masks, **{"prompts.mask.gamma": 0})["problem"]
    refined(post, opened, masks)
    for given, sentence in (
        ({"chosen": ["coarse"], "form": "png"}, "1 masks are chosen; expected one choice for each of 2"),
        ({"chosen": ["9", "coarse"], "form": "png"}, "there is no mask 9 to save"),
        ({"chosen": ["1", "coarse"], "form": "gif"}, "there is no format gif"),
    ):
        assert sentence in post("save", photo=opened["photo"], **given)["problem"]
    assert "of no folder" in post("keep", photo=opened["photo"])["problem"]
    assert "not open any more" in post("save", photo="none", chosen=[], form="png")["problem"]
    assert post("settings")["status"] == 400
    assert "is not a folder" in post("folder", images="no", masks="such", output="x")["problem"]


def test_pages_of_other_sites_get_no_answer(post, server):
    assert post("example", headers=())["status"] == 403
    assert post("nothing")["status"] == 403
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(server.url + "etc/passwd")


def test_the_document_refers_to_nothing_outside_itself(server):
    with urllib.request.urlopen(server.url) as answer:
        text = answer.read().decode()
        assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert all(f'data-key="{key}"' in text for key in LABELS)


def test_a_preset_moves_the_controls(post):
    assert post("settings", preset="released") == default_settings("released")


def test_soft_edges_are_cut_at_half():
    drawn = np.zeros((*SIZE, 4), np.uint8)
    drawn[0, :3, 3] = (127, 128, 255)
    url = "data:image/png;base64," + base64.b64encode(cv2.imencode(".png", drawn)[1]).decode()
    assert mask_of(url, SIZE)[0, :4].tolist() == [False, True, True, False]
    for wrong in (url, "data:image/png;base64,AAAA", "none"):
        with pytest.raises(InputError, match="not a PNG with transparency"):
            mask_of(wrong, (3, 3))


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
