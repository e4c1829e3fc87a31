"""The gallery and the page as a browser shows them: clicked, typed at, on a phone's width, without a network."""

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

from samref.backbones.tiny import TinySam
from samref.cli.page import launch, make_page
from samref.config.compose import compose_config
from samref.engine import runner
from tests.factories import make_davis585

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
    report = runner.run(compose_config([*words, "callbacks.progress=false"]))
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


def shown(page):
    return page.locator(".card:visible")


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
    page.keyboard.press("4")
    assert prompts.is_visible()


def test_samples_are_sorted_filtered_and_found(page):
    count = shown(page).count()
    assert count == 4
    page.select_option("#sort", "gain up")
    gains = [float(card.get_attribute("data-gain")) for card in shown(page).all()]
    assert gains == sorted(gains)
    page.fill("#search", "seq1")
    assert shown(page).count() == 2
    assert "2 samples" in page.locator("#shown").inner_text()
    page.fill("#search", "nowhere")
    assert page.locator("#none").is_visible()


def test_one_sample_is_opened_and_walked_through_by_keys(page):
    shown(page).first.focus()
    page.keyboard.press("Enter")
    first = page.locator("#heading").inner_text()
    assert page.locator("#panels figure").count() == 4  # the image, coarse, refined, truth
    page.keyboard.press("ArrowRight")
    assert page.locator("#heading").inner_text() != first
    page.keyboard.press("ArrowLeft")
    assert page.locator("#heading").inner_text() == first
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()


def test_a_phone_needs_no_sideways_scrolling(page):
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    shown(page).first.click()
    assert page.locator("#panels figure").first.is_visible()
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 360


@pytest.fixture(scope="module")
def address():
    page = make_page(TinySam(img_size=128, seed=0), "tiny")
    _, url, _ = launch(page, prevent_thread_lock=True, quiet=True)
    yield url
    page.close(verbose=False)


def test_the_page_shows_its_example_refined_and_follows_every_setting(browser, address):
    page = browser.new_page(viewport={"width": 1400, "height": 1100})
    requested = []
    page.on("request", lambda request: requested.append(request.url) if request.url.startswith("http") else None)
    page.goto(address)
    command = page.locator("pre", has_text="python run.py dataset=folder")
    command.wait_for(timeout=60_000)
    assert "preset" not in command.inner_text()
    assert page.get_by_text("candidate").count() >= 1 and page.locator("canvas").count() >= 1
    page.get_by_label("released").click()
    page.locator("pre", has_text="+preset=released").wait_for(timeout=60_000)
    assert {url.split("/")[2] for url in requested} == {address.split("/")[2]}, "nothing is requested from other hosts"
    page.close()
