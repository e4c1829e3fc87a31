"""`python -m benchmarks.models`: what the table of models says, measured here and gathered.

Without options, each model's time on this processor with random weights, which time as trained ones do, into the file
that `samref weights --list`, README and the documentation show. `--gpu FILE` takes a GPU's times from what
`python -m benchmarks.gpu` left; `--quality NAME=REPORT` a model's quality from a run's report; `--write` puts the table
into the texts.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu import OURS, SIZE, random_prompts
from benchmarks.random_models import random_backbone
from samref.backbones.weights.model_table import MEASURED, markdown, names, read_measured
from samref.engine import environment
from samref.io.atomic import write_text

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- models: written by python -m benchmarks.models --write -->", "<!-- end of models -->"
TEXTS = (ROOT / "README.md", ROOT / "docs" / "guide" / "models.md")
MASKS = 8
# What is encoded in less is timed several times, and the least time taken.
SHORT_SECONDS, REPEATS = 10.0, 3


def timed(name: str) -> dict[str, Any]:
    """Parameters, and processor milliseconds of one core for an image and for a mask of it."""
    backbone = random_backbone(name, torch.device("cpu"))
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    prompts = random_prompts(MASKS, backbone.mask_input_size)
    embedding = backbone.encode(image)
    return {
        "parameters": sum(parameter.numel() for parameter in backbone.parameters()),
        "image_ms": round(least_seconds(lambda: backbone.encode(image)) * 1e3),
        "mask_ms": round(least_seconds(lambda: backbone.decode(embedding, prompts, unpadded_only=True)) * 1e3 / MASKS),
    }


def least_seconds(action: Callable[[], object]) -> float:
    """Processor seconds: other programs make them longer by what they take of the caches alone."""
    least = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        action()
        least = min(least, time.process_time() - start)
        if least > SHORT_SECONDS:
            break
    return least


def gpu_times(content: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Best milliseconds of an image and of a mask, by backbone, of what `python -m benchmarks.gpu` left."""
    found: dict[str, dict[str, float]] = {}
    for row in content["rows"]:
        if not row["encoder"].startswith(OURS):
            continue
        times = {"gpu_image_ms": 1e3 / row["images/s"]}
        rates = [value for key, value in row.items() if key.startswith("masks/s")]
        times["gpu_mask_ms"] = 1e3 / max(rates)
        known = found.setdefault(row["backbone"], times)
        found[row["backbone"]] = {key: min(known[key], value) for key, value in times.items()}
    return {name: {key: round(value, 2) for key, value in times.items()} for name, times in found.items()}


def quality(report: Mapping[str, Any]) -> dict[str, float]:
    """IoU and boundary IoU of a run, in percent."""
    metrics = report["metrics"]["refined"]
    return {key: round(100 * metrics[key], 1) for key in ("iou", "boundary_iou")}


def put(measured: dict[str, Any], name: str, values: Mapping[str, Any]) -> None:
    """Writes what was found of one model at once: a measurement of all of them takes long."""
    measured["models"].setdefault(name, {}).update(values)
    write_text(MEASURED, json.dumps(measured, indent=1) + "\n")


def written(text: str, table: str) -> str:
    """A text with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table}\n{END}{rest.partition(END)[2]}"


def table_for(path: Path, measured: Mapping[str, Any]) -> str:
    """The table as a text has it: README leaves out HQ-SAM's, which are as large and as fast as SAM's."""
    shown = [name for name in names() if not (path.name == "README.md" and name.startswith("hq_"))]
    return markdown(measured, shown)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("--models", nargs="*", default=None, help="to time here; without other options: all")
    parser.add_argument("--gpu", type=Path, help="gpu.json of python -m benchmarks.gpu")
    parser.add_argument("--quality", nargs="*", default=[], metavar="NAME=REPORT", help="report.json of a run")
    parser.add_argument("--write", action="store_true", help="put the table into README and the documentation")
    chosen = parser.parse_args(arguments)
    measured = read_measured()
    anything = chosen.gpu or chosen.quality or chosen.write
    time_here(measured, names() if chosen.models is None and not anything else chosen.models or [])
    if chosen.gpu:
        content = json.loads(chosen.gpu.read_text(encoding="utf-8"))
        measured["gpu"] = {"device": content["hardware"]["gpu"], "command": content["command"]}
        for name, times in gpu_times(content).items():
            put(measured, name, times)
    for name, _, path in (words.partition("=") for words in chosen.quality):
        put(measured, name, quality(json.loads(Path(path).read_text(encoding="utf-8"))))
    if chosen.write:
        for path in TEXTS:
            write_text(path, written(path.read_text(encoding="utf-8"), table_for(path, read_measured())))


def time_here(measured: dict[str, Any], models: Iterable[str]) -> None:
    torch.set_num_threads(1)
    for name in models:
        found = timed(name)
        load = os.getloadavg()[0]
        measured["cpu"] = {
            "device": environment.hardware()["cpu"],
            "highest load": round(max(load, measured.get("cpu", {}).get("highest load", 0)), 1),
        }
        print(name, found, f"load {load:.1f}", flush=True)
        put(measured, name, found)


if __name__ == "__main__":
    main()
