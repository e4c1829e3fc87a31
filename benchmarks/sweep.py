"""What a sweep of 14 jobs costs beside what it cannot do without, and that a second one encodes nothing."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from samref import SAMRefiner
from samref.backbones.sam_backbone import SamBackbone
from samref.config.compose import build, compose_config
from samref.datasets.dataset import MaskDataset
from samref.datasets.davis import Davis585
from samref.datasets.scenes.scenes import Scenes
from samref.engine import runner

PROMPTS = ("point", "box", "mask", "point_box", "point_mask", "box_mask", "all")
IMAGES = 8


def sweep_rows(davis585: str | None = None) -> list[dict[str, Any]]:
    """Wall seconds of Table 1's sweep, cold and warm, and of the encodings and decodings alone.

    Args:
        davis585: folder of DAVIS-585, or None for generated scenes.
    """
    dataset: MaskDataset = Davis585(davis585) if davis585 else Scenes(IMAGES)
    samples = [dataset[k] for k in range(len(dataset))]
    refiner = SAMRefiner.from_pretrained("mobile_sam", overrides=["backbone.cache=false"])
    refiner.backbone.encode(samples[0].image)
    with torch.inference_mode():
        start = time.perf_counter()
        embeddings = [refiner.backbone.encode(sample.image) for sample in samples]
        encoding = time.perf_counter() - start
        start = time.perf_counter()
        for prompts in PROMPTS:
            excavator = build(compose_config([f"prompts={prompts}"]).prompts)
            alone = SAMRefiner(refiner.backbone, excavator)
            for sample, embedding in zip(samples, embeddings, strict=True):
                refiner.backbone.decode(embedding, alone.excavate(sample.masks, embedding), unpadded_only=True)
        decoding = 2 * (time.perf_counter() - start)
    least = encoding + decoding
    rows = []
    with tempfile.TemporaryDirectory() as folder, cache_in(Path(folder) / "cache"):
        name = "" if davis585 is None else f"davis585 ({len(samples)} images), "
        for turn in ("cold cache", "warm cache"):
            encoded = count_encodings()
            start = time.perf_counter()
            for prompts, adaption in itertools.product(PROMPTS, ("none", "iou_lora")):
                runner.run(job(prompts, adaption, Path(folder) / turn, davis585))
            seconds = time.perf_counter() - start
            rows.append(
                {"sweep": name + turn, "seconds": seconds, "encodings": encoded(), "encoding + 14 decodings": least}
            )
            rows[-1]["ratio"] = seconds / least
    return rows


def job(prompts: str, adaption: str, outputs: Path, davis585: str | None) -> Any:
    """One of the sweep's configurations, as `run.py` would compose it inside a sweep."""
    quiet = ["callbacks.progress=false", "callbacks.picture=0", "callbacks.gallery=0", "logger=none"]
    data = ["dataset=davis585", f"dataset.root={davis585}"] if davis585 else [f"dataset.length={IMAGES}"]
    chosen = [f"prompts={prompts}", f"adaption={adaption}", *data, "backbone.cache=true"]
    return compose_config([*chosen, *quiet, f"paths.outputs={outputs}"])


class cache_in:
    """Puts the cache of embeddings into a folder of its own for a while; the weights stay where they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        from samref.backbones.weights.store import cache_folder

        self.before = os.environ.get("SAMREF_CACHE")
        self.folder.mkdir()
        (self.folder / "weights").symlink_to(cache_folder() / "weights")
        os.environ["SAMREF_CACHE"] = str(self.folder)

    def __exit__(self, *error: object) -> None:
        os.environ.pop("SAMREF_CACHE")
        if self.before is not None:
            os.environ["SAMREF_CACHE"] = self.before


def count_encodings() -> Any:
    """Counts the images that go through an encoder from now on; returns a function that gives their number."""
    original, seen = SamBackbone.encode_pixels, []

    def encode_pixels(self: SamBackbone, pixels: torch.Tensor) -> Any:
        seen.append(len(pixels))
        return original(self, pixels)

    SamBackbone.encode_pixels = encode_pixels  # type: ignore[method-assign]

    def counted() -> int:
        SamBackbone.encode_pixels = original  # type: ignore[method-assign]
        return sum(seen)

    return counted
