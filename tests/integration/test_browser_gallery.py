"""The gallery as a browser shows it: clicked, typed at, on a phone's width, without a network."""

from dataclasses import replace

import pytest

from benchmarks.gallery import many_items
from samref.config.compose import compose_config
from samref.engine import runner
from samref.report.gallery import Heading, write_gallery
from tests.factories import make_davis585
from tests.integration.pages import until, watched

# One browser: the test run's processes take tests in turn.
pytestmark = pytest.mark.xdist_group("browser_gallery")


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
    page, requested, errors = watched(browser, 1200, 900)
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(gallery)
    yield page
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == []
    assert errors == []
    page.close()


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
