"""`python -m tests.integration.mixed_folder`: a mixed folder, killed again and again, ends as if never killed.

200 images of every kind, ten kills. Options: `--images N`, `--kills N`, `--seed S`. The suite runs a short version.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image

from samref.config.compose import compose_config
from samref.engine import runner
from samref.refiners.samrefiner import SAMRefiner
from tests.factories import PALETTE, blob, photo, rough, save_mask

FOLDERS = ("", "day1", "day1/cam2", "Täg 3")
Content = dict[str, bytes]


def _rgba(pixels: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels).convert("RGBA")
    image.putalpha(Image.fromarray(pixels[..., 0]))
    return image


def _turned(pixels: np.ndarray, path: Path) -> None:
    # Stored lying on its side; the masks are drawn on the picture as it is seen.
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(pixels)).save(path, exif=exif)


# Every way in which an image is stored: suffix, and what writes H x W x 3 uint8 under it.
STORED: dict[str, tuple[str, Callable[[np.ndarray, Path], Any]]] = {
    "jpeg": (".jpg", lambda pixels, path: Image.fromarray(pixels).save(path)),
    "png": (".png", lambda pixels, path: Image.fromarray(pixels).save(path)),
    "tiff": (".tif", lambda pixels, path: Image.fromarray(pixels).save(path, compression="tiff_lzw")),
    "webp": (".webp", lambda pixels, path: Image.fromarray(pixels).save(path)),
    "bmp": (".bmp", lambda pixels, path: Image.fromarray(pixels).save(path)),
    "sixteen bits": (".png", lambda pixels, path: Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(path)),
    "twelve bits": (".tiff", lambda pixels, path: Image.fromarray(pixels[..., 1].astype(np.uint16) * 16).save(path)),
    "gray": (".png", lambda pixels, path: Image.fromarray(pixels).convert("L").save(path)),
    "rgba": (".png", lambda pixels, path: _rgba(pixels).save(path)),
    "cmyk": (".jpeg", lambda pixels, path: Image.fromarray(pixels).convert("CMYK").save(path)),
    "turned": (".JPG", _turned),
}  # fmt: skip


def _binary(path: Path, size: tuple[int, int], seed: int) -> None:
    save_mask(path.with_suffix(".png"), rough(blob(size, seed), seed))


def _zero_one(path: Path, size: tuple[int, int], seed: int) -> None:
    Image.fromarray(rough(blob(size, seed), seed).astype(np.uint8)).save(path.with_suffix(".tif"))


def _numbered(path: Path, size: tuple[int, int], seed: int) -> None:
    for k in (1, 2, 3):
        save_mask(path.with_name(f"{path.name}_{k}.png"), rough(blob(size, seed + k), seed))


def _labels(path: Path, size: tuple[int, int], seed: int) -> None:
    labels = rough(blob(size, seed), seed).astype(np.uint8)
    labels[rough(blob(size, seed + 1), seed)] = 2
    labels[0] = 255
    image = Image.fromarray(labels)
    image.putpalette(PALETTE)
    image.save(path.with_suffix(".png"), dpi=(72, 72))


MASKED = (_binary, _zero_one, _numbered, _labels)


def make_mixed(root: Path, images: int) -> Path:
    """Images and masks of all kinds, in `images` and `masks`; some masks are empty, and one file is no image."""
    kinds = list(STORED.values())
    for k in range(images):
        suffix, store = kinds[k % len(kinds)]
        name = Path(FOLDERS[k % len(FOLDERS)]) / f"image{k:03d}"
        size = 30 + k % 7, 44 + k % 5
        for folder in ("images", "masks"):
            (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
        store(photo(size, k), root / "images" / f"{name}{suffix}")
        if k % 23 == 22:
            save_mask(root / "masks" / f"{name}.png", np.zeros(size, bool))
        else:
            MASKED[k // len(kinds) % len(MASKED)](root / "masks" / name, size, k)
    (root / "images" / "notes.txt").write_text("no image")
    return root


def contents(folder: Path) -> Content:
    """Every file below a folder but its lock, hidden ones too."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def start(data: Path, folder: Path, log: Path, result_file: Path) -> Any:
    """Starts a run in a process of its own, which notes every image that it has refined.

    Forked, so that the seconds of imports are spent once.
    """
    words = {
        "dataset": "folder", "dataset.images": data / "images", "dataset.masks": data / "masks",
        "dataset.output": folder / "masks", "paths.outputs": folder / "runs", "backbone": "tiny",
        "guard.enabled": False, "logger": "none", "callbacks.progress": False, "backbone.device": "cpu",
    }  # fmt: skip
    cfg = compose_config([f"{key}={value}" for key, value in words.items()])

    def work() -> None:
        with open(os.devnull, "w") as sink:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
        refine = SAMRefiner.refine_sample

        def noted(self: SAMRefiner, sample: Any, **options: Any) -> Any:
            result = refine(self, sample, **options)
            with log.open("a") as file:
                file.write(f"{sample.image_id}\n")
            return result

        SAMRefiner.refine_sample = noted  # type: ignore[method-assign]
        try:
            result: Any = runner.run(cfg)
        except BaseException:
            result = traceback.format_exc()
        result_file.write_bytes(pickle.dumps(result))

    process = get_context("fork").Process(target=work)
    process.start()
    return process


def finished(folder: Path) -> set[str]:
    """The images that a killed run has recorded as finished."""
    found = set()
    for path in (folder / "runs").rglob(".resume.sqlite"):
        with closing(sqlite3.connect(path)) as base, suppress(sqlite3.OperationalError):  # killed before it had tables
            found |= {json.loads(image) for (image,) in base.execute("SELECT image FROM results")}
    return found


def run_whole(data: Path, folder: Path) -> tuple[dict[str, Any], Counter[str], float]:
    """An undisturbed run: its report, how often each image was refined, and its seconds."""
    folder.mkdir()
    clock = time.perf_counter()
    start(data, folder, folder / "log", folder / "result_file").join()
    seconds = time.perf_counter() - clock
    report = pickle.loads((folder / "result_file").read_bytes())
    assert isinstance(report, dict), report
    return report, Counter((folder / "log").read_text().splitlines()), seconds


def run_killed(
    data: Path, folder: Path, images: int, kills: int, pause: float, random: Random
) -> tuple[dict[str, Any], list[int]]:
    """A run that is killed at random moments and started again, until it has been killed so often; then it may end.

    Args:
        data: images and masks.
        folder: for everything it writes.
        images: how many there are.
        kills: how many times it is killed.
        pause: seconds at most between an image and the kill: of about two images.
        random: where moments come from.

    Returns:
        The last run's report, and how many images were finished at each kill.
    """
    folder.mkdir()
    log, result_file = folder / "log", folder / "result_file"
    log.touch()
    progress: list[int] = []
    while True:
        before, done = len(log.read_text().splitlines()), finished(folder)
        process = start(data, folder, log, result_file)
        if len(progress) < kills:
            # Somewhere in this kill's share of the images that are left: later ones must find some too.
            left = (images - len(done)) / (kills - len(progress))
            target = before + random.randint(0, int(0.9 * left))
            while process.is_alive() and log.read_bytes().count(b"\n") < target:
                time.sleep(0.001)
            time.sleep(random.uniform(0, pause))
            process.kill()
        process.join()
        again = done & set(log.read_text().splitlines()[before:])
        assert not again, f"{sorted(again)} were finished, and refined again"
        if result_file.exists():
            report = pickle.loads(result_file.read_bytes())
            assert isinstance(report, dict), report
            return report, progress
        progress.append(len(finished(folder)))


def check(root: Path, images: int, kills: int, seed: int) -> str:
    """Does it all; returns what was found in one line.

    Raises:
        AssertionError: if a killed run leaves anything else than an undisturbed one, or does anything twice.
    """
    data = make_mixed(root / "data", images)
    given = contents(data)
    whole, refined, seconds = run_whole(data, root / "whole")
    assert set(refined.values()) == {1} and len(refined) == images == whole["counts"]["images"]
    report, progress = run_killed(data, root / "killed", images, kills, 2 * seconds / images, Random(seed))
    assert len(progress) == kills, f"it was killed {len(progress)} times only: {progress}"
    expected, found = contents(root / "whole" / "masks"), contents(root / "killed" / "masks")
    assert found == expected, sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key))
    assert set(found) == {key.removeprefix("masks/") for key in given if key.startswith("masks/")}
    assert report["counts"] == whole["counts"]
    assert Path(report["folder"], "samples.csv").read_bytes() == Path(whole["folder"], "samples.csv").read_bytes()
    assert contents(data) == given, "the input was touched"
    times = Counter((root / "killed" / "log").read_text().splitlines())
    assert set(times) == set(refined)
    # What was under way when the kill came was not finished: one image a kill at most.
    extra = sum(times.values()) - images
    assert extra <= kills
    return (
        f"{images} images ({len(found)} mask files, {report['counts']['masks']} masks), {seconds:.0f} s undisturbed; "
        f"killed {kills} times with {progress} images finished: the output is byte-identical, no finished image was "
        f"refined again, {extra} were under way when a kill came"
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        print(check(Path(folder), options.images, options.kills, options.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
