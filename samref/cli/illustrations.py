"""What `samref illustrate` draws: the paper's explanatory figures, of one image and mask."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np

from samref.backbones.backbone import Backbone
from samref.backbones.cache import CachedBackbone, LastEmbedding
from samref.config.compose import build, compose_config
from samref.errors import InputError
from samref.io.atomic import write_png
from samref.io.images import printable, read_image, read_labels, read_mask
from samref.refiners.samrefiner import SAMRefiner
from samref.structures import BoolArray
from samref.visualization.drawing import Canvas
from samref.visualization.paper_figures import (
    Subject,
    draw_box,
    draw_candidates,
    draw_cascade,
    draw_prompts,
    draw_regions,
)


def draw(options: argparse.Namespace, subject: Subject) -> None:
    """Writes the figures that were asked for, and says where."""
    refiner = SAMRefiner.from_pretrained(options.backbone, options.device, overrides=options.overrides)
    # All figures are of one image: it is encoded once.
    refiner.backbone = cast(Backbone, CachedBackbone(refiner.backbone, LastEmbedding()))
    merge = build(compose_config(["dataset=voc", *options.overrides]).dataset.stm)
    figures: dict[str, Callable[[], Canvas]] = {
        "prompts": lambda: draw_prompts(refiner, subject),
        "candidates": lambda: draw_candidates(refiner, subject),
        "box": lambda: draw_box(refiner, subject),
        "regions": lambda: draw_regions(refiner, subject, merge),
        "cascade": lambda: draw_cascade(refiner, subject, options.rounds),
    }
    for name in options.only:
        path = options.out / f"{Path(options.mask).stem}_{name}.png"
        write_png(path, figures[name]())
        print(path)


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
    pixels = read_image(image, (coarse.shape[0], coarse.shape[1]))
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
