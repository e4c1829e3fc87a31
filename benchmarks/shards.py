"""A million generated masks refined by `refiner=external`: as one run, and as four shards that are merged."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

COUNTS = (10_000, 100_000, 1_000_000)
SHARDS = 4
PER_IMAGE = 100
SIZE = (64, 96)  # px, H x W; small, so that the masks' records are what is measured
QUIET = ("callbacks.progress=false", "callbacks.gallery=null", "callbacks.picture=null", "logger=none")


def shard_rows(counts: Sequence[int] = COUNTS) -> list[dict[str, Any]]:
    """Two rows a number of masks: one run, and shards with split and merge."""
    with tempfile.TemporaryDirectory() as folder:
        return [row for count in counts for row in _rows(Path(folder) / str(count), count)]


def make_masks(folder: Path, count: int) -> None:
    """Writes `images/`, `masks.json` (annotations) and `other.json`, the same masks moved by a pixel."""
    (folder / "images").mkdir(parents=True)
    picture = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    cv2.imwrite(str(folder / "picture.png"), picture)
    images = count // PER_IMAGE
    for k in range(images):
        (folder / "images" / f"{k}.png").hardlink_to(folder / "picture.png")
    listed = [{"id": k, "file_name": f"{k}.png", "height": SIZE[0], "width": SIZE[1]} for k in range(images)]
    for name, moved in (("masks", 0), ("other", 1)):
        # Not in the order of the images, as annotations of COCO are not.
        masks = [_record(k, k % images, moved) for k in range(count)]
        content = {"images": listed, "annotations": masks, "categories": [{"id": 1, "name": "thing"}]}
        (folder / f"{name}.json").write_text(json.dumps(content))


def _record(k: int, image: int, moved: int) -> dict[str, Any]:
    x, y, width, height = k * 7 % 60 + moved, k * 5 % 40 + moved, 12 + k % 13, 9 + k % 11
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    box = [x, y, width, height]
    known = {"id": k, "image_id": image, "category_id": 1, "iscrowd": 0, "area": width * height, "bbox": box}
    return {**known, "segmentation": [corners]}


def _rows(folder: Path, count: int) -> list[dict[str, Any]]:
    make_masks(folder, count)
    images, masks, other = folder / "images", folder / "masks.json", folder / "other.json"
    external = ["name=shards", "refiner=external", *QUIET]
    single = [
        "run", "dataset=coco", f"dataset.images={images}", f"dataset.predictions={masks}", *external,
        f"dataset.output={folder / 'single'}", f"refiner.masks={other}", f"paths.outputs={folder / 'runs'}",
    ]  # fmt: skip
    one = _measured([single])
    shards = folder / "shards"
    split = _measured([["shards", "split", "--coco", str(masks), "--images", str(images), str(SHARDS), str(shards)]])
    others = folder / "others"
    _measured([["shards", "split", "--coco", str(other), "--images", str(images), str(SHARDS), str(others)]])
    jobs = [
        [
            "run", "dataset=coco", f"dataset.images={images}", f"dataset.predictions={shards / str(k) / 'masks.json'}",
            f"dataset.output={shards / str(k) / 'refined'}", *external, f"shard={k}",
            f"refiner.masks={others / str(k) / 'other.json'}", f"paths.outputs={folder / 'runs'}",
        ]
        for k in range(SHARDS)
    ]  # fmt: skip
    refined = _measured(jobs)
    merged = _measured([["shards", "merge", str(shards), str(folder / "merged")]])
    same = (folder / "merged" / "masks.json").read_bytes() == (folder / "single" / "masks.json").read_bytes()
    return [
        _row(count, "one run", one, None, None),
        _row(count, f"{SHARDS} shards, side by side", refined, split, merged) | {"file equals the one run's": same},
    ]


def _row(count: int, how: str, run: _Cost, split: _Cost | None, merge: _Cost | None) -> dict[str, Any]:
    return {
        "masks": count,
        "images": count // PER_IMAGE,
        "how": how,
        "wall, s": run.wall,
        "processor, ms a mask": 1e3 * run.processor / count,
        "most memory of a process, MB": run.memory,
        "split, s": split and split.wall,
        "split, MB": split and split.memory,
        "merge, s": merge and merge.wall,
        "merge, MB": merge and merge.memory,
        "file equals the one run's": None,
    }


@dataclass(frozen=True)
class _Cost:
    """Wall seconds, processor seconds of all processes together, and MB of the one that took most."""

    wall: float
    processor: float
    memory: float


def _measured(commands: Sequence[Sequence[str]]) -> _Cost:
    """Runs commands side by side, each by a process that says what its child took."""
    started = time.perf_counter()
    words = [[sys.executable, __file__, *command] for command in commands]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in words]
    said = [process.communicate()[0].splitlines()[-1].split() for process in processes]
    wall = time.perf_counter() - started
    if any(process.returncode for process in processes):
        raise RuntimeError(f"{commands[0]} failed")
    return _Cost(wall, sum(float(first) for first, _ in said), max(float(second) for _, second in said))


def _child(words: Sequence[str]) -> int:
    code = subprocess.call([sys.executable, "-m", "samref", *words], stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
    return code


if __name__ == "__main__":
    sys.exit(_child(sys.argv[1:]))
