"""What `samref illustrate` draws: the paper's explanatory figures, of one image and mask."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from samref.backbones.backbone import Backbone
from samref.backbones.cache import CachedBackbone, LastEmbedding
from samref.config.compose import build, compose_config
from samref.datasets.simulated import Defects
from samref.errors import InputError
from samref.io.atomic import write_png
from samref.io.coco_masks import decode, encode_rle
from samref.io.images import printable
from samref.io.masks import read_labels, read_mask
from samref.io.orientation import read_image_of
from samref.refiners.grid import Grid
from samref.refiners.samrefiner import SAMRefiner
from samref.stopwatch import Stopwatch
from samref.structures import BoolArray
from samref.visualization.drawing import Canvas
from samref.visualization.paper_figures import (
    draw_box,
    draw_candidates,
    draw_cascade,
    draw_prompts,
    draw_regions,
)
from samref.visualization.paper_studies import (
    draw_defects,
    draw_gaussians,
    draw_grid,
    draw_points,
    draw_qualities,
    draw_similarities,
)
from samref.visualization.subject import Subject

# Kinds of coarse masks made of the truth, with their strengths (`samref.datasets.coarse_kinds`).
DEFECTS: dict[str, tuple[str, dict[str, float]]] = {
    "super-pixels": ("superpixel", {}),
    "too large": ("dilated", {"pixels": 10}),
    "too small": ("eroded", {"pixels": 8}),
    "box": ("box", {}),
}
QUALITIES: dict[str, tuple[str, dict[str, float]]] = {
    "exact": ("exact", {}),
    "polygon": ("polygon", {"tolerance": 0.012}),
    "8 px too small": ("eroded", {"pixels": 8}),
    "10 px too large": ("dilated", {"pixels": 10}),
    "24 px too large": ("dilated", {"pixels": 24}),
    "box": ("box", {}),
}


def draw(options: argparse.Namespace, subject: Subject) -> None:
    """Writes the chosen figures, and prints where."""
    refiner = SAMRefiner.from_pretrained(options.backbone, options.device, overrides=options.overrides)
    # All figures are of one image: it is encoded once.
    refiner.backbone = cast(Backbone, CachedBackbone(refiner.backbone, LastEmbedding()))
    others = [read_subject(options.image, path, threshold=options.threshold).mask for path in options.others]
    merge = build(compose_config(["dataset=voc", *options.overrides]).dataset.stm)
    figures: dict[str, Callable[[], Canvas]] = {
        "prompts": lambda: draw_prompts(refiner, subject),
        "candidates": lambda: draw_candidates(refiner, subject),
        "box": lambda: draw_box(refiner, subject),
        "regions": lambda: draw_regions(refiner, subject, merge),
        "cascade": lambda: draw_cascade(refiner, subject, options.rounds),
        "gaussians": lambda: draw_gaussians(refiner, subject),
        "points": lambda: draw_points(refiner, subject),
        "similarity": lambda: draw_similarities(refiner, subject, np.stack(others) if others else None),
        "grid": lambda: _draw_grid(refiner, subject, options.points),
        "defects": lambda: draw_defects(refiner, made_from_truth(subject, DEFECTS)),
        "qualities": lambda: draw_qualities(refiner, made_from_truth(subject, QUALITIES)),
    }
    for name in options.only:
        path = options.out / f"{Path(options.mask).stem}_{name}.png"
        write_png(path, figures[name]())
        print(path)


def made_from_truth(subject: Subject, kinds: dict[str, tuple[str, dict[str, float]]]) -> dict[str, Subject]:
    """A subject with coarse masks of several kinds in place of its own, made from its truth.

    Raises:
        InputError: if it has no truth.
    """
    if subject.truth is None:
        raise InputError("this figure makes coarse masks from the truth; give it by --truth MASK")
    truth = subject.truth
    return {
        name: replace(subject, mask=Defects(kind, strengths=strengths).masks(subject.image, truth[None], [0])[0])
        for name, (kind, strengths) in kinds.items()
    }


def _draw_grid(refiner: SAMRefiner, subject: Subject, points: int | None) -> Canvas:
    words = [] if points is None else [f"refiner.points_per_side={points}"]
    grids: dict[str, Grid] = {
        rule: build(compose_config([f"refiner=grid_{rule}", *words]).refiner, backbone=refiner.backbone)
        for rule in ("max_iou", "merge")
    }
    runs = grids["max_iou"].generate(subject.image, Stopwatch(refiner.backbone.device))
    size = subject.mask.shape[0], subject.mask.shape[1]
    segments = np.array([decode(run, size) for run in runs], dtype=bool).reshape(-1, *size)
    refined = {}
    for name, grid in (("maximum IoU", grids["max_iou"]), ("merged", grids["merge"])):
        found = grid.rule(encode_rle(subject.mask), runs) if runs else None
        refined[name] = subject.mask if found is None else decode(found, size)
    refined["mined prompts"] = subject.refine(refiner).masks[0]
    return draw_grid(subject, segments, refined)


def read_subject(
    image: Path, mask: Path, truth: Path | None = None, label: int | None = None, threshold: int | None = None
) -> Subject:
    """Reads what the figures are of.

    Args:
        image: any image file.
        mask: binary mask, or with `label` a label map.
        truth: of the same kind as the mask, or None.
        label: value of the label map that is the object.
        threshold: from which grey a mask's pixel is foreground; None expects two values.

    Raises:
        InputError: for unreadable files, a mask of another size than the image, or an empty mask.
    """
    coarse = _read(mask, label, threshold)
    pixels, _ = read_image_of(image, coarse[None])
    real = None if truth is None else _read(truth, label, threshold)
    for path, found in ((mask, coarse), (truth, real)):
        if found is not None and found.shape != pixels.shape[:2]:
            raise InputError(
                f"{printable(path or '')} is {found.shape} (H, W); expected the image's {pixels.shape[:2]}"
            )
    if not coarse.any():
        what = "nothing" if label is None else f"no pixel of label {label}"
        raise InputError(f"mask {printable(mask)} holds {what}; expected at least one foreground pixel")
    return Subject(pixels, coarse, real)


def _read(path: Path, label: int | None, threshold: int | None) -> BoolArray:
    return read_mask(path, threshold) if label is None else np.asarray(read_labels(path) == label)
