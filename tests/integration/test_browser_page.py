"""The page of `samref app` as a browser shows it: drawn on, clicked, on a phone's width, without another host."""

import json
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from samref.backbones.tiny import TinySam
from samref.cli.page.desk import Desk
from samref.cli.page.server import PageServer
from tests.factories import make_folder, photo, save_mask
from tests.integration.pages import until, watched

# One browser and one server: the test run's processes take tests in turn.
pytestmark = pytest.mark.xdist_group("browser_page")


@pytest.fixture(scope="module")
def address():
    server = PageServer(Desk(TinySam(img_size=128, seed=0), "tiny"), port=0)
    server.start()
    yield server.url
    server.close()


@pytest.fixture
def desk(browser, address):
    """The page with its example refined."""
    page, requested, errors = watched(browser, 1400, 900)
    page.goto(address)
    settled(page)
    yield page
    assert {url.split("/")[2] for url in requested if url.startswith("http")} == {address.split("/")[2]}
    assert errors == []
    page.close()


def settled(page):
    """Waits until what is drawn is refined."""
    until(page, "waiting !== null && !document.body.classList.contains('busy')")
    page.wait_for_timeout(400)  # a change is waited for before it is sent
    until(page, "objects.some(object => object.result) && !document.body.classList.contains('busy')")


def drawn(page, k=0):
    """Pixels of an object's drawn mask."""
    return page.evaluate(
        """k => {
        const {layer} = objects[k], {data} = layer.getContext("2d").getImageData(0, 0, layer.width, layer.height);
        return data.filter((value, i) => i % 4 === 3 && value > 127).length }""",
        k,
    )


def drag(page, *shares):
    """Presses at the first of some places of the photo, moves over the others, lets go; shares of its sides."""
    box = page.locator("#canvas").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in shares]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=3)
    page.mouse.up()


def test_the_example_has_two_objects_with_candidates_side_by_side(desk):
    assert desk.locator(".chip").count() == 2
    assert desk.locator(".choice").count() >= 5
    assert desk.locator("#verdict b").inner_text()
    assert "samref refine IMAGES MASKS OUTPUT" in desk.locator("#command").text_content()
    assert desk.locator("#overlay .mask").count() == 2, "the outline of every object's chosen mask"


def test_brush_eraser_box_and_polygon_change_the_mask(desk):
    before = drawn(desk)
    desk.locator("#clear").click()
    assert drawn(desk) == 0
    desk.locator("#undo").click()
    assert drawn(desk) == before
    desk.locator("#clear").click()
    desk.locator("[data-tool=box]").click()
    drag(desk, (0.25, 0.25), (0.75, 0.5))
    boxed = drawn(desk)
    assert abs(boxed - 256 * 128) < 3000
    desk.locator("[data-tool=erase]").click()
    drag(desk, (0.3, 0.4), (0.7, 0.4))
    assert drawn(desk) < boxed
    desk.locator("#clear").click()
    desk.locator("[data-tool=polygon]").click()
    for corner in ((0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.2)):
        drag(desk, corner)
    polygon = drawn(desk)
    assert abs(polygon - 205 * 205 / 2) < 2000, "a click on the first corner closes the polygon"
    desk.locator("[data-tool=brush]").click()
    desk.locator("#width").fill("60")
    drag(desk, (0.1, 0.9), (0.4, 0.9))
    assert drawn(desk) > polygon + 2000
    settled(desk)
    assert desk.locator(".choice").count() >= 5


def test_objects_are_added_selected_and_removed(desk):
    desk.locator("#add").click()
    assert desk.locator(".chip[aria-current=true]").inner_text() == "object 3"
    drag(desk, (0.8, 0.1), (0.9, 0.2))
    settled(desk)
    assert drawn(desk, 2) > 0 and desk.locator("#overlay .mask").count() == 3
    desk.locator(".chip").first.click()
    assert desk.locator(".chip[aria-current=true]").inner_text() == "object 1"
    desk.locator("#remove").click()
    assert desk.locator(".chip").count() == 2


def test_layers_are_switched(desk):
    desk.locator("[data-layer=result]").click()
    assert desk.locator("#overlay .mask").count() == 0
    desk.locator("[data-layer=prompts]").click()
    assert desk.locator("#overlay .box").count() == 1 and desk.locator("#overlay circle").count() >= 1
    picture = desk.evaluate("canvas.toDataURL()")
    desk.locator("[data-layer=drawn]").click()
    assert desk.evaluate("canvas.toDataURL()") != picture


@pytest.mark.parametrize(("form", "name"), [("png", "zip"), ("labels", "png"), ("coco", "json")])
def test_what_is_shown_as_chosen_is_what_is_downloaded(desk, form, name):
    desk.locator(".choice[data-name='2']").click()
    assert desk.locator(".choice[aria-checked=true]").get_attribute("data-name") == "2"
    desk.select_option("#form", form)
    pixels = desk.evaluate("objects[0].result.choices.find(choice => choice.name === '2').pixels")
    with desk.expect_download() as download:
        desk.locator("#download").click()
    path = download.value.path()
    assert download.value.suggested_filename == f"astronaut.{name}"
    if form == "png":
        content = np.frombuffer(zipfile.ZipFile(path).read("astronaut_1.png"), np.uint8)
        assert np.count_nonzero(cv2.imdecode(content, cv2.IMREAD_UNCHANGED)) == pixels
    elif form == "labels":
        labels = np.asarray(Image.open(path))
        assert labels.shape == (512, 512) and set(np.unique(labels)) <= {0, 1, 2}
    else:
        assert json.loads(path.read_text())["annotations"][0]["area"] == pixels


def test_settings_and_presets_change_the_command(desk):
    desk.locator("[value=released]").check()
    until(desk, "document.querySelector('#command').textContent.includes('+preset=released')")
    desk.locator("[data-key='prompts.mask.omega']").fill("7")
    desk.locator("[data-key='verdict.enabled']").uncheck()
    desk.locator("[data-key=prompts]").select_option("box")
    until(desk, "document.querySelector('#command').textContent.includes('prompts=box')")
    assert "prompts.mask.omega=7" in desk.locator("#command").text_content()


def test_photo_and_mask_files_are_opened_and_what_does_not_fit_is_said(desk, tmp_path):
    Image.fromarray(photo((40, 60), 0)).save(tmp_path / "a.png")
    mask = np.zeros((40, 60), bool)
    mask[10:30, 10:40] = True
    save_mask(tmp_path / "mask.png", mask)
    save_mask(tmp_path / "small.png", mask[:20])
    desk.locator("#photo").set_input_files(tmp_path / "a.png")
    until(desk, "photo.name === 'a.png' && objects.length === 1")
    desk.locator("#maskfile").set_input_files(tmp_path / "small.png")
    desk.locator("#problem").wait_for()
    assert desk.locator("#problem").inner_text().startswith("the mask file is (20, 60) (H, W)")
    desk.locator("#maskfile").set_input_files(tmp_path / "mask.png")
    settled(desk)
    assert drawn(desk) == 600
    assert desk.locator("#problem").is_hidden()


def test_a_folder_is_looked_through_and_accepted_or_kept(desk, tmp_path):
    data = make_folder(tmp_path / "data", names=["a", "b", "c"], size=(40, 60))
    desk.locator("#folders").click()
    for key in ("images", "masks"):
        desk.locator(f"#{key}").fill(str(data / key))
    desk.locator("#output").fill(str(tmp_path / "out"))
    desk.locator("#folder button", has_text="open").click()
    until(desk, "photo.name === 'a.png'")
    desk.locator("#forth").click()
    until(desk, "photo.name === 'b.png'")
    desk.locator("#back").click()
    until(desk, "photo.name === 'a.png'")
    settled(desk)
    desk.locator(".choice[data-name='2']").click()
    desk.locator("#accept").click()
    until(desk, "photo.name === 'b.png'")
    assert "1 written" in desk.locator("#done").inner_text()
    settled(desk)
    desk.locator("#reject").click()
    until(desk, "photo.name === 'c.png'")
    (data / "masks" / "b.png").write_bytes(b"none")
    desk.locator("#back").click()
    desk.locator("#problem").wait_for()
    assert desk.locator("#accept").is_disabled() and desk.locator("#reject").is_disabled()
    (data / "masks" / "b.png").write_bytes((tmp_path / "out" / "b.png").read_bytes())
    assert (tmp_path / "out" / "b.png").read_bytes() == (data / "masks" / "b.png").read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["a.png", "b.png"]


def test_on_a_phone_results_stand_first_and_nothing_is_sideways(desk):
    desk.set_viewport_size({"width": 390, "height": 844})
    assert desk.evaluate("document.documentElement.scrollWidth") <= 390
    order = ["#stage", "#verdict", "#choices", "#objects", ".bar", "#settings"]
    tops = [desk.locator(selector).bounding_box()["y"] for selector in order]
    assert tops == sorted(tops)
    assert tops[2] < 844, "the choices are seen without scrolling"
