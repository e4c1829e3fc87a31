"""Scrolling through a gallery of many masks in a browser: how long frames take, and what the page holds."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from samref.report.gallery import GalleryItem, Heading, write_gallery
from samref.visualization.gallery_items import encode_jpeg, encode_mask, picture_side

COUNTS = (24, 2000, 20_000)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DIFFERENT = 50  # pictures; the browser does not know that others are alike
PX_A_FRAME = 120
FRAMES = 300
SCROLL = """async ([step, frames]) => {
  const times = []; let last = performance.now(), most = 0;
  for (let k = 0; k < frames; k++) {
    scrollBy(0, step);
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    times.push(now - last); last = now;
    most = Math.max(most, document.querySelectorAll('#grid *').length);
  }
  times.sort((a, b) => a - b);
  return [times[frames >> 1], times[Math.floor(frames * 0.99)], times[frames - 1], most];
}"""


def gallery_rows() -> list[dict[str, Any]]:
    """One row a number of masks."""
    with tempfile.TemporaryDirectory() as folder:
        return [_row(Path(folder) / "gallery.html", count) for count in COUNTS]


def many_items(count: int) -> list[GalleryItem]:
    """Masks of generated pictures, at the size that a gallery of so many shows."""
    side, different = picture_side(count), []
    for seed in range(min(count, DIFFERENT)):
        random = np.random.default_rng(seed)
        picture = cv2.resize(random.integers(0, 255, (12, 16, 3), np.uint8), (side, side * 3 // 4))
        masks = {name: _blob(picture.shape[:2], random) for name in ("coarse", "refined")}
        numbers = {"agreement": float(random.random()), "score": float(random.random())}
        size = (picture.shape[0], picture.shape[1])
        different.append((numbers, encode_jpeg(picture), size, (0, 0, size[1], size[0]), masks))
    return [GalleryItem(f"image{k}", "1", "refined", *different[k % DIFFERENT]) for k in range(count)]


def installed_browser() -> str | None:
    """The path of Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def _blob(size: tuple[int, int], random: np.random.Generator) -> dict[str, Any]:
    noise = cv2.GaussianBlur(random.random(size).astype(np.float32), (0, 0), min(size) / 12)
    return encode_mask(noise > np.median(noise))


def _row(path: Path, count: int) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    started = time.perf_counter()
    write_gallery(path, many_items(count), Heading("many", seen=count))
    written = time.perf_counter() - started
    with sync_playwright() as playwright:
        args = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=installed_browser(), args=args)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(300_000)
        started = time.perf_counter()
        page.goto(f"file://{path}")
        opened = time.perf_counter() - started
        median, slow, slowest, elements = page.evaluate(SCROLL, [PX_A_FRAME, FRAMES])
        browser.close()
    return {
        "masks": count,
        "file, MB": path.stat().st_size / 2**20,
        "written, s": written,
        "opened, s": opened,
        "frame, ms (median)": median,
        "frame, ms (99 %)": slow,
        "frame, ms (slowest)": slowest,
        "elements of cards": elements,
    }
