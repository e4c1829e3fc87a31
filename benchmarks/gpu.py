"""`python -m benchmarks.gpu`: published architectures on a GPU, against their own packages on the same card."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.random_models import RandomModel, random_model
from benchmarks.results import FOLDER, publish
from benchmarks.rounds import seconds_in_turns
from samref.backbones.device import resolve_device
from samref.backbones.fast.encoder import PRECISIONS
from samref.structures import Prompts

TITLE = (
    "Encoding one 480 x 854 image, from its pixels on, and decoding masks prompted with a point, a box and a mask, to "
    "logits. Random weights: they cost what trained ones do. segment-anything: its SamPredictor; transformers: image "
    "processor and model; both encode under autocast where precision is not fp32. All decode in fp32. Runs in turns, "
    "medians. Peak: of a square matrix product here."
)
SIZE = (480, 854)
BACKBONES = ["mobile_sam", "vit_b", "vit_l", "vit_h", "sam2_hiera_l"]
OURS = "samref"


def peak_flops(side: int, precision: str, device: torch.device) -> float:
    """Floating point operations a second of a product of two square matrices."""
    matrix = torch.randn(side, side, device=device).to(PRECISIONS[precision])
    return 2 * side**3 / seconds_in_turns({"": lambda: matrix @ matrix}, 5, device)[""]


def random_prompts(count: int, mask_input_size: tuple[int, int]) -> Prompts:
    rng = np.random.default_rng(0)
    height, width = SIZE
    corners = np.sort(rng.uniform(0, (width, height), (count, 2, 2)), axis=1).astype(np.float32)
    masks = rng.normal(0, 10, (count, 1, *mask_input_size)).astype(np.float32)
    return Prompts(corners.mean(1, keepdims=True), np.ones((count, 1), np.int64), corners.reshape(count, 4), masks)


def encoders(
    model: RandomModel, image: np.ndarray, chosen: argparse.Namespace, precision: str, device: torch.device
) -> Iterator[tuple[str, int, Callable[[], object]]]:
    """Name, images at once, and what encodes them."""
    dtype = PRECISIONS[precision]

    def theirs() -> None:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            model.encode(image)

    yield model.package, 1, theirs
    for compiled in (False, True) if chosen.compile else (False,):
        backbone = model.backbone(precision, compiled)
        for batch in chosen.batches:
            images = [image] * batch
            yield OURS + ", compiled" * compiled, batch, lambda b=backbone, images=images: b.encode_batch(images)


def decoders(model: RandomModel, image: np.ndarray, masks: int, chunk: int) -> dict[str, Callable[[], object]]:
    """What decodes so many masks of an image that is encoded already."""
    backbone = model.backbone()
    embedding = backbone.encode(image)
    model.encode(image)
    prompts = random_prompts(masks, backbone.mask_input_size)
    return {
        model.package: lambda: list(model.decode(image, prompts, chunk)),
        OURS: lambda: backbone.decode(embedding, prompts),
    }


def measure(name: str, chosen: argparse.Namespace, device: torch.device) -> Iterator[dict[str, Any]]:
    """Rows of one architecture."""
    model = random_model(name, device)
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    flops = model.flops()
    decoding = {
        count: seconds_in_turns(decoders(model, image, count, chosen.chunk), chosen.rounds, device)
        for count in chosen.masks
    }
    for precision in chosen.precisions:
        peak = peak_flops(chosen.matrix, precision, device)
        contenders = {(who, batch): run for who, batch, run in encoders(model, image, chosen, precision, device)}
        named = {f"{who} {batch}": run for (who, batch), run in contenders.items()}
        memory = {each: peak_memory_mb(run, device) for each, run in named.items()}
        seconds = seconds_in_turns(named, chosen.rounds, device)
        theirs = seconds[f"{model.package} 1"]
        for who, batch in contenders:
            each = seconds[f"{who} {batch}"] / batch
            decoder = model.package if who == model.package else OURS
            yield {
                "backbone": name,
                "precision": precision,
                "encoder": who,
                "images at once": batch,
                "images/s": 1 / each,
                "encoding, times as fast": theirs / each,
                "peak, TFLOP/s": peak / 1e12,
                "share of peak, %": 100 * flops / each / peak,
                "encoding, peak MB": memory[f"{who} {batch}"],
                **{f"masks/s, {count} an image": count / taken[decoder] for count, taken in decoding.items()},
                "decoding, times as fast": decoding[chosen.masks[-1]][model.package]
                / decoding[chosen.masks[-1]][decoder],
            }


def peak_memory_mb(run: Callable[[], object], device: torch.device) -> float | None:
    """Largest memory of the accelerator while something runs, the model included."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    run()
    return torch.cuda.max_memory_allocated(device) / 2**20


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--backbones", nargs="+", default=BACKBONES, help="or tiny, tiny_sam2 for a trial")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=list(PRECISIONS))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], help="images that samref encodes at once")
    parser.add_argument("--compile", action="store_true", help="samref's encoder through torch.compile too")
    parser.add_argument("--masks", type=int, nargs="+", default=[5, 50], help="masks of an image")
    parser.add_argument("--chunk", type=int, default=64, help="masks that the other package decodes at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--matrix", type=int, default=8192, help="side of the matrices that show the card's peak")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the results")
    chosen = parser.parse_args(arguments)
    device = resolve_device(chosen.device)
    rows = [row for name in chosen.backbones for row in measure(name, chosen, device)]
    words = sys.argv[1:] if arguments is None else arguments
    publish("gpu", TITLE, " ".join(["python -m benchmarks.gpu", *words]), rows, chosen.out)


if __name__ == "__main__":
    main()
