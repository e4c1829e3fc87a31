"""The gallery's page: self-contained, escaped, and true to its masks."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as run_lengths

from samref.report.gallery import GalleryItem, Heading, render
from samref.report.outlines import MAX_PATH_BYTES, outline
from tests.factories import blob, photo

VOID = {"meta", "br", "input", "image", "use", "path", "rect", "circle", "link"}
NASTY = '<script>alert("x")</script>\'&"'


class Page(HTMLParser):
    """Elements with their attributes, text by element, and whether all elements close in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def data(self):
        """The index of the cards, and what each is drawn from."""
        embedded = [data for tag, data in self.texts if tag == "script" and data.startswith(("[", "{"))]
        return json.loads(embedded[0]), [json.loads(data) for data in embedded[1:]]

    def all(self, tag, **wanted):
        return [a for name, a in self.elements if name == tag and all(a.get(k) == v for k, v in wanted.items())]


def encoded(mask):
    return run_lengths.encode(np.asfortranarray(mask.astype(np.uint8)))


def make_item(seed=0, image_id="dog/00001", **more):
    size = (40, 60)
    masks = {name: encoded(blob(size, seed + k)) for k, name in enumerate(("coarse", "refined", "truth"))}
    numbers = {"coarse_iou": 0.8, "refined_iou": 0.9, "gain": 0.1, "predicted_iou": 0.95, "agreement": 0.75}
    known = {
        "points": ((10.5, 12.5, 1), (30.0, 2.0, 0)),
        "box": (4.0, 5.0, 30.0, 33.0),
        "heat": b"png",
        "candidates": ((0.9, 0.8), (0.95, 0.9), (0.7, 0.5)),
        "chosen": 1,
        "groups": ("best", "random"),
    }
    picture = cv2.imencode(".jpg", photo(size, seed))[1].tobytes()
    return GalleryItem(
        image_id, f"object{seed}", "refined", numbers, picture, size, (0, 0, 60, 40), masks, **(known | more)
    )


@pytest.fixture
def page():
    heading = Heading(
        "davis", ("davis585", "all"), "python run.py", 28, {"coarse": {"iou": 0.5}, "refined": {"iou": 1}}
    )
    return Page(render([make_item(k, f"image{k}") for k in range(3)], heading))


def test_the_page_is_well_formed_and_refers_to_nothing_outside_itself(page):
    assert page.open == []
    links = {"href", "src", "action", "xlink:href", "srcset"}
    assert not [a for _, a in page.elements if links & set(a)]
    assert all(item["picture"].startswith("data:image/jpeg;base64,") for item in page.data()[1])
    styles = "".join(text for tag, text in page.texts if tag in ("style", "script"))
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttpRequest|import\(", styles)
    (policy,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'")


def test_ids_are_unique(page):
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(set(ids)) == len(ids)


def test_each_sample_holds_image_outlines_prompts_and_numbers(page):
    index, items = page.data()
    assert [(entry["image"], entry["object"]) for entry in index] == [(f"image{k}", f"object{k}") for k in range(3)]
    assert [entry["groups"] for entry in index] == [["best", "random"]] * 3
    assert index[0]["numbers"]["refined_iou"] == 0.9
    for item in items:
        assert item["picture"].startswith("data:image/jpeg;base64,")
        assert item["heat"].startswith("data:image/png;base64,")
        assert all(item["paths"][layer].startswith("M") for layer in ("coarse", "refined", "truth"))
        assert item["points"] == [[10.5, 12.5, 1], [30.0, 2.0, 0]]
        assert item["box"] == [4.0, 5.0, 30.0, 33.0]
        assert item["candidates"] == [[0.9, 0.8], [0.95, 0.9], [0.7, 0.5]]
    text = " ".join(data.strip() for _, data in page.texts)
    assert "50.0 →" in text
    assert "+50.0" in text


def test_what_became_of_a_mask_is_a_group_that_says_how_many():
    known = {"kept": ("random",), "empty": (), "failed": ("failed",), "refined": ("doubtful",)}
    items = [replace(make_item(), flag=flag, groups=groups) for flag, groups in known.items()]
    page = Page(render([*items, items[0]], Heading("t")))
    buttons = [a["data-group"] for a in page.all("button") if "data-group" in a]
    assert buttons == ["", "doubtful", "kept", "empty", "failed", "random"]
    text = "".join(data for tag, data in page.texts if tag in ("button", "small"))
    assert "kept 2" in text and "failed 1" in text
    assert [entry["groups"] for entry in page.data()[0]][1:3] == [["empty"], ["failed"]]


def test_truth_is_named_only_where_there_is_one():
    item = make_item()
    without = replace(item, numbers={"agreement": 0.5}, masks={k: item.masks[k] for k in ("coarse", "refined")})
    words = {"with": render([item], Heading("t")), "without": render([without], Heading("t"))}
    shown = {key: "".join(data for tag, data in Page(page).texts if tag != "script") for key, page in words.items()}
    assert "3 truth" in shown["with"]
    assert "truth" not in shown["without"].rpartition("@media print")[2]


def test_filters_sorts_and_toggles_are_those_of_what_there_is():
    plain = make_item(groups=("changed",))
    plain = replace(plain, numbers={"agreement": 0.5}, masks={k: plain.masks[k] for k in ("coarse", "refined")})
    page = Page(render([plain, replace(plain, object_id="other", flag="kept")], Heading("t")))
    assert {a["data-layer"] for a in page.all("button") if "data-layer" in a} == {"coarse", "refined", "prompts"}
    assert [a["data-group"] for a in page.all("button") if "data-group" in a] == ["", "kept", "changed"]
    values = [a.get("value") for a in page.all("option")]
    assert "agreement up" in values
    assert "refined_iou up" not in values


def test_names_that_look_like_markup_stay_text():
    item = replace(make_item(), image_id=NASTY, object_id=NASTY, flag=NASTY)
    page = Page(render([item], Heading(NASTY, (NASTY,), NASTY, 1, {"refined": {NASTY: 0.5}})))
    assert page.open == []
    assert len(page.all("script")) == 3
    index, items = page.data()
    assert (index[0]["image"], index[0]["object"], items[0]["flag"]) == (NASTY, NASTY, NASTY)
    assert sum(NASTY in data for _, data in page.texts) >= 4


def test_a_run_without_samples_says_so():
    page = Page(render([], Heading("empty")))
    assert any("refined no mask" in data for _, data in page.texts)


def test_numbers_that_are_not_finite_are_left_out():
    item = replace(make_item(), numbers={"agreement": 0.5, "predicted_iou": float("nan")})
    assert "nan" not in render([item], Heading("t"))


def drawn(path, size, zoom=8):
    """The mask that a path encloses, rasterized by OpenCV at pixel centers."""
    rings = [
        np.array([[float(v) for v in corner.split()] for corner in ring.split("L")])
        for ring in re.findall(r"M([^Z]*)Z", path)
    ]
    canvas = np.zeros((size[0] * zoom, size[1] * zoom), np.uint8)
    cv2.fillPoly(canvas, [np.round(ring * zoom - 0.5).astype(np.int32) for ring in rings], 1)
    return canvas[zoom // 2 :: zoom, zoom // 2 :: zoom] > 0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), hole=st.booleans())
def test_an_outline_encloses_the_pixels_of_its_mask(seed, hole):
    mask = blob((50, 70), seed)
    if hole:
        y, x = np.argwhere(mask)[len(np.argwhere(mask)) // 2]
        mask[y - 2 : y + 3, x - 3 : x + 4] = False
    assert np.count_nonzero(drawn(outline(mask), mask.shape) ^ mask) <= 0.03 * np.count_nonzero(mask)


def test_an_outline_runs_along_the_pixel_edges_of_a_rectangle():
    mask = np.zeros((20, 30), bool)
    mask[5:15, 10:] = True
    numbers = np.array([[float(v) for v in corner.split()] for corner in outline(mask)[1:-1].split("L")])
    assert np.abs(numbers.min(axis=0) - (10, 5)).max() <= 0.5
    assert np.abs(numbers.max(axis=0) - (30, 15)).max() <= 0.5
    assert outline(np.zeros((4, 4), bool)) == ""
    assert outline(np.ones((1, 1), bool)).startswith("M")


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_the_outline_of_noise_stays_small(share):
    noise = np.random.default_rng(0).random((400, 400)) < share
    assert MAX_PATH_BYTES / 2 < len(outline(noise)) <= MAX_PATH_BYTES
