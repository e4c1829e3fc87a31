"""`python -m benchmarks.gpu`: SAM's ViTs on a GPU, against segment-anything's own predictor on the same card."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import segment_anything
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.results import FOLDER, publish
from benchmarks.rounds import seconds_in_turns
from samref.backbones.fast.encoder import PRECISIONS
from samref.backbones.sam_backbone import SamBackbone, SamModules, resolve_device
from samref.backbones.tiny import tiny_modules
from samref.structures import Prompts

TITLE = (
    "Encoding one 480 x 854 image, from its pixels on, and decoding masks prompted with a point, a box and a mask, to "
    "logits. Random weights: they cost what trained ones do. segment-anything: its SamPredictor, under autocast where "
    "precision is not fp32; samref decodes in fp32. Runs in turns, medians. Peak: of a square matrix product here."
)
SIZE = (480, 854)
OURS, THEIRS = "samref", "segment-anything"


def random_sam(name: str, device: torch.device) -> Sam:
    """A packaged model with random weights; `tiny` runs anywhere."""
    torch.manual_seed(0)
    sam = Sam(*tiny_modules(128, 0, hq=False)) if name == "tiny" else segment_anything.sam_model_registry[name]()
    return sam.eval().requires_grad_(False).to(device)


def peak_flops(side: int, precision: str, device: torch.device) -> float:
    """Floating point operations a second of a product of two square matrices."""
    matrix = torch.randn(side, side, device=device).to(PRECISIONS[precision])
    return 2 * side**3 / seconds_in_turns({"": lambda: matrix @ matrix}, 5, device)[""]


def encoder_flops(sam: Sam, device: torch.device) -> float:
    """Floating point operations of one image, counted as the packaged encoder runs."""
    size = sam.image_encoder.img_size
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        sam.image_encoder(torch.zeros(1, 3, size, size, device=device))
    return float(counter.get_total_flops())


def random_prompts(count: int, mask_input_size: tuple[int, int]) -> Prompts:
    rng = np.random.default_rng(0)
    height, width = SIZE
    corners = np.sort(rng.uniform(0, (width, height), (count, 2, 2)), axis=1).astype(np.float32)
    masks = rng.normal(0, 10, (count, 1, *mask_input_size)).astype(np.float32)
    return Prompts(corners.mean(1, keepdims=True), np.ones((count, 1), np.int64), corners.reshape(count, 4), masks)


def encoders(
    sam: Sam, image: np.ndarray, chosen: argparse.Namespace, precision: str, device: torch.device
) -> Iterator[tuple[str, int, Callable[[], object]]]:
    """Name, images at once, and what encodes them."""
    predictor, dtype = SamPredictor(sam), PRECISIONS[precision]

    def theirs() -> None:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            predictor.set_image(image)

    yield THEIRS, 1, theirs
    for compiled in (False, True) if chosen.compile else (False,):
        backbone = backbone_of(sam, precision, compiled)
        for batch in chosen.batches:
            images = [image] * batch
            yield OURS + ", compiled" * compiled, batch, lambda b=backbone, images=images: b.encode_batch(images)


def decoders(sam: Sam, image: np.ndarray, masks: int, chunk: int) -> dict[str, Callable[[], object]]:
    """What decodes so many masks of an image that is encoded already."""
    backbone = backbone_of(sam, "fp32", False)
    embedding, predictor = backbone.encode(image), SamPredictor(sam)
    predictor.set_image(image)
    prompts = random_prompts(masks, backbone.mask_input_size)
    transform, device = predictor.transform, backbone.device
    points = torch.as_tensor(transform.apply_coords(prompts.point_coords, SIZE), device=device)
    boxes = torch.as_tensor(transform.apply_boxes(prompts.boxes, SIZE), device=device)
    labels, mask_input = (torch.as_tensor(part, device=device) for part in (prompts.point_labels, prompts.mask_input))
    image_pe = sam.prompt_encoder.get_dense_pe()

    @torch.inference_mode()
    def theirs() -> None:
        # Its predictor would upsample all candidates too, which is another matter.
        for start in range(0, masks, chunk):
            rows = slice(start, start + chunk)
            sparse, dense = sam.prompt_encoder((points[rows], labels[rows]), boxes[rows], mask_input[rows])
            sam.mask_decoder(predictor.features, image_pe, sparse, dense, multimask_output=True)

    return {THEIRS: theirs, OURS: lambda: backbone.decode(embedding, prompts)}


def backbone_of(sam: Sam, precision: str, compiled: bool) -> SamBackbone:
    modules = SamModules(sam.image_encoder, sam.prompt_encoder, sam.mask_decoder)
    return SamBackbone("benchmark", modules, precision=precision, compile=compiled).to(sam.device)


def measure(name: str, chosen: argparse.Namespace, device: torch.device) -> Iterator[dict[str, Any]]:
    """Rows of one architecture."""
    sam = random_sam(name, device)
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    flops = encoder_flops(sam, device)
    decoding = seconds_in_turns(decoders(sam, image, chosen.masks, chosen.chunk), chosen.rounds, device)
    for precision in chosen.precisions:
        peak = peak_flops(chosen.matrix, precision, device)
        contenders = {(who, batch): run for who, batch, run in encoders(sam, image, chosen, precision, device)}
        named = {f"{who} {batch}": run for (who, batch), run in contenders.items()}
        memory = {each: peak_memory_mb(run, device) for each, run in named.items()}
        seconds = seconds_in_turns(named, chosen.rounds, device)
        theirs = seconds[f"{THEIRS} 1"]
        for who, batch in contenders:
            each = seconds[f"{who} {batch}"] / batch
            decoded = decoding[THEIRS if who == THEIRS else OURS]
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
                "masks/s": chosen.masks / decoded,
                "decoding, times as fast": decoding[THEIRS] / decoded,
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
    parser.add_argument("--backbones", nargs="+", default=["vit_b", "vit_l", "vit_h"], help="or tiny, for a trial")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=list(PRECISIONS))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], help="images that samref encodes at once")
    parser.add_argument("--compile", action="store_true", help="samref's encoder through torch.compile too")
    parser.add_argument("--masks", type=int, default=100)
    parser.add_argument("--chunk", type=int, default=64, help="masks that segment-anything decodes at once")
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
