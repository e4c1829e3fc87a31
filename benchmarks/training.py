"""`python -m benchmarks.training`: images a second of each network, forward, backward and update."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.results import FOLDER, publish
from samref.backbones.device import resolve_device
from samref.backbones.open import build_backbone
from samref.config.compose import build, compose_config
from samref.training.networks.network import SEMANTIC, Network

TITLE = (
    "Training, {batch} images of {side} x {side} px a step: forward, backward and SGD update, medians of {steps} steps "
    "after {warmup}. Random weights, so that normalization is trained, too; {objects} objects an image; no reading, no "
    "augmentation. The head on frozen features encodes its images anew at each step, which a run's cache does once."
)
NETWORKS = {
    "mobile_sam_aspp": "voc_training",
    "deeplabv2_resnet101": "voc_training",
    "mask_rcnn_r50_fpn": "coco_training",
    "cascade_mask_rcnn_r50_fpn": "coco_training",
    "solov2_r50_fpn": "coco_training",
}
PRECISIONS = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
WARMUP, CLASSES = 3, 21


def network_of(name: str, backbone: str, side: int, device: torch.device) -> Network:
    """A network as its configuration has it, but with random weights: then its normalization is trained, too."""
    part = compose_config([f"+experiment={NETWORKS[name]}", f"network={name}", "network.pretrained=false"]).network
    own: dict[str, Any] = {"classes": CLASSES}
    if "min_size" in part:
        own["min_size"] = side
    if name == "mobile_sam_aspp":
        own["backbone"] = build_backbone(backbone, device=str(device))
    network: Network = build(part, **own)
    return network.to(device).train()


def batch_of(kind: str, count: int, side: int, objects: int, device: torch.device) -> tuple[list[Tensor], list[Any]]:
    """Random pictures with squares on them, as label maps or as instances."""
    generator = torch.Generator().manual_seed(0)
    images, targets = [], []
    for _ in range(count):
        image = torch.randint(0, 256, (3, side, side), dtype=torch.uint8, generator=generator)
        masks = torch.zeros(objects, side, side, dtype=torch.uint8)
        corners = torch.randint(0, 3 * side // 4, (objects, 2), generator=generator)
        for mask, (top, left) in zip(masks, corners.tolist(), strict=True):
            mask[top : top + side // 4, left : left + side // 4] = 1
        labels = torch.randint(1, CLASSES, (objects,), generator=generator)
        boxes = torch.cat([corners.flip(1), corners.flip(1) + side // 4], dim=1).float()
        instances = {"boxes": boxes, "labels": labels, "masks": masks}
        target: Any = (masks * labels[:, None, None]).amax(dim=0).long() if kind == SEMANTIC else instances
        images.append(image.to(device))
        targets.append(target.to(device) if kind == SEMANTIC else {k: v.to(device) for k, v in instances.items()})
    return images, targets


def measure(network: Network, batch: Any, steps: int, precision: str, device: torch.device) -> dict[str, Any]:
    """Images a second and peak memory of training steps."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-5, momentum=0.9)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16" and device.type == "cuda")
    seconds = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for step in range(WARMUP + steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "fp32"):
            loss = torch.stack(list(network.losses(*batch).values())).sum()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if step >= WARMUP:
            seconds.append(time.perf_counter() - start)
    step_time = statistics.median(seconds)
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
    return {"s a step": step_time, "images/s": len(batch[0]) / step_time, "peak GB": peak}


def rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    device, found = resolve_device(options.device), []
    for name in options.networks:
        network = network_of(name, options.backbone, options.side, device)
        batch = batch_of(network.kind, options.batch, options.side, options.objects, device)
        for precision in options.precisions:
            parameters = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
            row = {"network": name, "trained parameters, M": parameters / 1e6, "precision": precision}
            found.append({**row, **measure(network, batch, options.steps, precision, device)})
            print(found[-1], flush=True)
        del network
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return found


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--backbone", default="mobile_sam", help="of mobile_sam_aspp")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=["fp32", "bf16"])
    parser.add_argument("--batch", type=int, default=2, help="images a step")
    parser.add_argument("--side", type=int, default=800, help="px of an image")
    parser.add_argument("--objects", type=int, default=7, help="of an image; COCO has 7 on average")
    parser.add_argument("--steps", type=int, default=20, help="that are timed")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of training.md and training.json")
    options = parser.parse_args(words)
    command = " ".join(["python -m benchmarks.training", *words])
    sizes = {"batch": options.batch, "side": options.side, "steps": options.steps, "objects": options.objects}
    publish("training", TITLE.format(**sizes, warmup=WARMUP), command, rows(options), options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
