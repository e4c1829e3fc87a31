import os

import pytest


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; the pages' tests are not collected without Playwright."""
    from playwright.sync_api import sync_playwright

    from benchmarks.gallery import installed_browser

    path = installed_browser()
    if path is None and not os.environ.get("CI"):
        pytest.skip("needs Chromium or Chrome on the PATH (Debian: apt install chromium)")
    assert path, "continuous integration installs a browser, see .ci/run"
    quiet = ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *quiet])
        yield browser
        browser.close()
