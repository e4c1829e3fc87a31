"""The gallery and the page as a browser shows them: clicked, typed at, on a phone's width, without a network."""

import json
import os
import shutil
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from benchmarks.gallery import many_items
from samref.backbones.tiny import TinySam
from samref.cli.page.desk import Desk
from samref.cli.page.server import PageServer
from samref.config.compose import compose_config
from samref.engine import runner
from samref.report.gallery import Heading, write_gallery
from tests.factories import make_davis585, make_folder, photo, save_mask

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None and not os.environ.get("CI"):
        pytest.skip("needs Chromium or Chrome on the PATH (Debian: apt install chromium)")
    assert path, "continuous integration installs a browser, see .ci/run"
    quiet = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *quiet])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    data = make_davis585(folder / "davis585", sequences=2, frames=2)
    words = ["dataset=davis585", f"dataset.root={data}", "backbone=tiny", f"paths.outputs={folder}", "logger=none"]
    guarded = ["callbacks.progress=false", "guard.enabled=true", "guard.min_agreement=0.5"]
    report = runner.run(compose_config([*words, *guarded]))
    assert report["counts"]["kept"], "the tiny model's masks are implausible: something is rejected"
    return f"file://{report['folder']}/gallery.html"


@pytest.fixture
def page(browser, gallery):
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    requested, errors = [], []
    page.on("request", lambda request: requested.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(gallery)
    yield page
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == []
    assert errors == []
    page.close()


def until(page, expression, seconds=60):
    """Waits until an expression holds; Playwright's own way evaluates strings, which the pages' policy forbids."""
    for _ in range(20 * seconds):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{expression} does not come true")


def shown(page):
    return page.locator(".card")


def gains(page):
    """IoU won by the cards in view, in their order."""
    return page.evaluate("[...document.querySelectorAll('.card')].map(card => index[card.dataset.n].numbers.gain)")


def test_outlines_are_switched_by_key_and_by_button(page):
    outline = shown(page).first.locator("g.coarse")
    assert outline.is_visible()
    page.keyboard.press("1")
    assert not outline.is_visible()
    button = page.locator(".bar .layer[data-layer=coarse]")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert outline.is_visible()
    prompts = shown(page).first.locator("g.prompts.toggled")
    assert not prompts.is_visible()
    page.keyboard.press(page.locator(".bar .layer[data-layer=prompts] kbd").inner_text())
    assert prompts.is_visible()


def test_samples_are_sorted_filtered_and_found(page):
    assert shown(page).count() == 4
    for way in ("up", "down"):
        page.select_option("#sort", f"gain {way}")
        assert gains(page) == sorted(gains(page), reverse=way == "down")
    page.fill("#search", "seq1")
    assert shown(page).count() == 2
    assert "2 samples" in page.locator("#shown").inner_text()
    page.fill("#search", "nowhere")
    assert page.locator("#none").is_visible()


def test_each_group_shows_as_many_as_it_says(page):
    assert page.locator("h1").inner_text().endswith("/davis585")
    for button in page.locator("[data-group]").all():
        button.click()
        assert shown(page).count() == int(button.locator("small").inner_text())
        assert button.get_attribute("aria-pressed") == "true"


def test_a_card_shows_what_was_rejected_and_why(page):
    page.locator("[data-group=kept]").click()
    card = shown(page).first
    assert card.locator(".tag.flag").inner_text() == "kept"
    rejected = card.locator("g.rejected")
    assert not rejected.is_visible()
    card.locator(".against").click()
    assert rejected.is_visible()
    assert not page.locator("dialog").is_visible(), "the button opens no sample"
    card.locator("svg").click(position={"x": 20, "y": 20})
    assert page.locator("#right").input_value() == "rejected"


def test_one_sample_is_opened_and_walked_through_by_keys(page):
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    first = page.locator("#heading").inner_text()
    assert page.locator("#side figure").count() >= 3  # coarse, refined, truth
    page.keyboard.press("ArrowRight")
    assert page.locator("#heading").inner_text() != first
    page.keyboard.press("ArrowLeft")
    assert page.locator("#heading").inner_text() == first
    page.locator("#next").click()
    assert page.locator("#heading").inner_text() != first
    page.locator("#previous").click()
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == first


def test_the_line_between_two_masks_is_dragged_and_moved_by_keys(page):
    shown(page).first.locator("svg").click(position={"x": 20, "y": 20})
    page.select_option("#left", "coarse")
    page.select_option("#right", "truth")
    assert page.locator("#view g.coarse").count() == page.locator("#view g.truth").count() == 1
    picture = page.locator("#view image").first.bounding_box()
    page.mouse.move(picture["x"] + picture["width"] / 2, picture["y"] + 30)
    page.mouse.down()
    page.mouse.move(picture["x"] + picture["width"] / 4, picture["y"] + 30)
    page.mouse.up()
    share = "document.querySelector('#clip-left rect').width.baseVal.value / item(current).size[1]"
    assert abs(page.evaluate(share) - 0.25) < 0.02
    page.locator("#slider").press("End")
    assert page.evaluate(share) == 1
    page.locator("#close").focus()
    page.keyboard.press("o")
    assert page.locator("#slider").is_hidden()
    outline = page.locator("#view g.truth")
    page.locator("#outlining [data-layer=truth]").click()
    assert not outline.is_visible()
    page.locator("[data-view=compare]").click()
    assert page.locator("#slider").is_visible()
    page.locator("#close").click()
    assert not page.locator("dialog").is_visible()


def test_the_large_view_fills_the_window(page):
    shown(page).first.locator("svg").click(position={"x": 20, "y": 20})
    view = page.locator("#view").bounding_box()
    assert view["width"] * view["height"] > 0.5 * 1200 * 900


def test_dark_and_light_are_switched(page):
    colors = []
    for switch in (lambda: None, page.locator("#theme").click, lambda: page.keyboard.press("d")):
        switch()
        colors.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colors[0] == colors[2] != colors[1]


def test_a_phone_needs_no_sideways_scrolling(page):
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    shown(page).first.locator("svg").click(position={"x": 20, "y": 20})
    assert page.locator("#view svg").is_visible()
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 360


def test_many_cards_cost_what_those_in_view_cost(browser, tmp_path):
    items = [replace(item, masks={}) for item in many_items(2000)]
    write_gallery(tmp_path / "gallery.html", items, Heading("many", seen=2000))
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(f"file://{tmp_path}/gallery.html")
    for place in (0.0, 0.5, 1.0):
        page.evaluate(f"scrollTo(0, {place} * document.documentElement.scrollHeight)")
        until(page, f"[...document.querySelectorAll('.card')].some(c => c.dataset.n >= {place} * 1999)")
        assert shown(page).count() < 50
        assert page.locator(".card:visible").count() >= 8
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.n") == "1999"
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.dataset.n") == "1995"
    page.close()


@pytest.fixture(scope="module")
def address():
    server = PageServer(Desk(TinySam(img_size=128, seed=0), "tiny"), port=0)
    server.start()
    yield server.url
    server.close()


@pytest.fixture
def desk(browser, address):
    """The page with its example refined."""
    page = browser.new_page(viewport={"width": 1400, "height": 900}, accept_downloads=True)
    requested, errors = [], []
    page.on("request", lambda request: requested.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
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
