"""`python -m benchmarks.host`: a folder run whose model costs nothing. What is left bounds what any card can reach."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from lightning import Callback, LightningModule, Trainer
from PIL import Image
from torch import nn

from benchmarks.cases import make_case
from benchmarks.results import FOLDER, publish
from samref.config.compose import compose_config
from samref.engine import runner
from samref.geometry.frames import resized_size
from samref.structures import Candidates, Embedding, Prompts

TITLE = (
    "A folder run with a backbone whose encoding and decoding cost nothing, 480 x 854 px, so that reading, prompts, "
    "masks, writing and records are what is timed. Images/s and milliseconds an image after the start-up. Main thread "
    "and main process: processor time. Command: wall seconds from its start to its end."
)
# What a run of the paper's refiner does, and what a folder run does by default.
MODES = {
    "refiner alone": ("verdict.enabled=false", "zoom.enabled=false"),
    "with verdict and zoom": ("verdict.source=network",),
}
# Images before which nothing counts: workers start, caches fill.
WARM = 20


class FreeBackbone(nn.Module):
    """A backbone that returns what it has, whatever the image: candidates are the mask prompts."""

    weights_sha256, encoder_id, img_size, embedding_size, mask_input_size = "", "free", 1024, (64, 64), (256, 256)
    stretched = False

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__()
        self.name, self.device = name, torch.device("cpu")
        self.iou_head = nn.Module()
        self.iou_head.layers = nn.ModuleList([nn.Linear(1, 1)])
        random = torch.Generator().manual_seed(0)
        self.features = torch.randn(1, 256, *self.embedding_size, generator=random)
        self.last: torch.Tensor | None = None

    def encode(self, image: npt.NDArray[np.uint8]) -> Embedding:
        """See `Backbone`."""
        size = image.shape[0], image.shape[1]
        return Embedding(self.features, size, resized_size(size, self.img_size))

    def encode_batch(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Embedding]:
        """See `Backbone`."""
        return [self.encode(image) for image in images]

    def decode(self, embedding: Embedding, prompts: Prompts, *, unpadded_only: bool = False) -> Candidates:
        """See `Backbone`."""
        count = len(prompts)
        if prompts.mask_input is not None:
            self.last = torch.as_tensor(prompts.mask_input)
        if self.last is None or len(self.last) != count:
            self.last = torch.ones(1, 1, *self.mask_input_size).expand(count, -1, -1, -1)
        predictions = torch.tensor([[0.8, 0.9, 0.85, 0.7]]).expand(count, -1)
        return Candidates(self.last.expand(-1, 4, -1, -1), predictions, torch.zeros(count, 1))


class Clock(Callback):
    """Notes when images are done, and what the main process has worked by then."""

    def __init__(self, path: str) -> None:
        self.path, self.moments = Path(path), []

    def on_predict_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Notes one image."""
        self.moments.append((time.perf_counter(), time.thread_time(), time.process_time()))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes all moments."""
        self.path.write_text(json.dumps(self.moments))


def make_folder(root: Path, images: int, masks: int) -> None:
    """Images of a few scenes, some mirrored, and mask files of two values: IMAGE_1.png, IMAGE_2.png and so on."""
    case = make_case("480p", masks)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for k in range(images):
        # Shifts and mirrors keep what is timed alike, and no two files are the same.
        turned = [np.roll(part, 7 * k % 90, axis=1) for part in (case.image, *case.masks)]
        turned = [np.ascontiguousarray(part[:, ::-1]) if k % 2 else part for part in turned]
        cv2.imwrite(str(root / "images" / f"{k:04d}.jpg"), turned[0][..., ::-1])
        for row, mask in enumerate(turned[1:], start=1):
            Image.fromarray(mask.astype(np.uint8) * 255).save(root / "masks" / f"{k:04d}_{row}.png")


def job(data: Path, out: Path, workers: int | str, mode: str) -> Any:
    """The configuration of a run."""
    return compose_config(
        [
            "dataset=folder", f"dataset.images={data}/images", f"dataset.masks={data}/masks", f"paths.outputs={out}",
            "backbone=tiny", "backbone.cache=false", "backbone._target_=benchmarks.host.FreeBackbone",
            f"num_workers={workers}", "logger=none",
            "callbacks.progress=false", "+callbacks.clock._target_=benchmarks.host.Clock",
            f"+callbacks.clock.path={out}/moments.json", *MODES[mode],
        ]
    )  # fmt: skip


def run_apart(words: list[str]) -> None:
    """This program in a process of its own."""
    subprocess.run([sys.executable, "-m", "benchmarks.host", *words], check=True, stdout=subprocess.DEVNULL)


def measure(data: Path, workers: int | str, mode: str) -> dict[str, Any]:
    """One run in a process of its own."""
    with tempfile.TemporaryDirectory(dir=data) as out:
        started = time.perf_counter()
        run_apart(["--run", str(data), out, str(workers), mode])
        seconds = time.perf_counter() - started
        moments = np.array(json.loads((Path(out) / "moments.json").read_text()))
    spent = (moments[-1] - moments[min(WARM, len(moments) // 2)]) / (len(moments) - 1 - min(WARM, len(moments) // 2))
    return {
        "run": mode,
        "workers": workers,
        "images/s": 1 / spent[0],
        "main thread, ms": 1e3 * spent[1],
        "main process, ms": 1e3 * spent[2],
        "command, s": seconds,
    }


def main(arguments: list[str] | None = None) -> None:
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["--run"]:
        data, out, workers, mode = words[1:]
        torch.set_num_threads(1)
        runner.run(job(Path(data), Path(out), workers, mode))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.host", description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--masks", type=int, default=8, help="of each image")
    parser.add_argument("--workers", nargs="+", default=["0", "1", "2"], help="values of num_workers")
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=list(MODES))
    parser.add_argument("--rounds", type=int, default=1, help="how often each is run; the fastest counts")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the results")
    chosen = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        make_folder(data, chosen.images, chosen.masks)
        runs = [(mode, workers) for mode in chosen.modes for workers in chosen.workers]
        found = [[measure(data, workers, mode) for mode, workers in runs] for _ in range(chosen.rounds)]
    rows = [max(turns, key=lambda row: row["images/s"]) for turns in zip(*found, strict=True)]
    title = f"{TITLE} {chosen.images} images, {chosen.masks} masks each."
    publish("host", title, " ".join(["python -m benchmarks.host", *words]), rows, chosen.out)


if __name__ == "__main__":
    main()
