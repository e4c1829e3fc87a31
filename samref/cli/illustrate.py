"""`python -m samref.cli.illustrate IMAGE MASK`: the paper's explanatory figures, drawn of your own image and mask.

prompts (Fig. 3), candidates (Figs. 12, 14), box (Figs. 4a, 13), regions (Fig. 10), cascade (rounds one by one).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from samref.backbones.backbone import Backbone
from samref.backbones.cache import CachedBackbone, LastEmbedding
from samref.config.compose import build, compose_config
from samref.errors import InputError, SamrefError
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

FIGURES = ("prompts", "candidates", "box", "regions", "cascade")


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the figures; 0 when all are written, 1 with one sentence on stderr when something is wrong."""
    options = _parser().parse_intermixed_args(arguments)
    try:
        subject = read_subject(options.image, options.mask, options.truth, options.label, options.threshold)
        draw(options, subject)
    except SamrefError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


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
    for name in options.only or FIGURES:
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m samref.cli.illustrate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument(
        "mask", type=Path, metavar="MASK", help="coarse mask: 0/1 or 0/255, or see --label, --threshold"
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for run.py: prompts.mask.omega=30 ...")
    parser.add_argument("--truth", type=Path, metavar="MASK", help="true mask; IoUs are then in the captions")
    parser.add_argument("--label", type=int, metavar="K", help="the masks are label maps, and K is the object")
    parser.add_argument("--threshold", type=int, metavar="T", help="the masks are grey, and T or more is the object")
    parser.add_argument("--out", type=Path, default=Path("outputs/illustrations"), metavar="DIR", help="%(default)s")
    parser.add_argument("--only", nargs="+", choices=FIGURES, metavar="FIGURE", help=f"some of {', '.join(FIGURES)}")
    parser.add_argument("--rounds", type=_positive, default=5, metavar="N", help="of the cascade (%(default)s)")
    parser.add_argument("--backbone", default="mobile_sam", metavar="NAME", help="%(default)s")
    parser.add_argument("--device", default="auto", metavar="NAME", help="%(default)s")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is no number of rounds; expected 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
