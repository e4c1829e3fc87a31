"""`samref illustrate IMAGE MASK`: the paper's explanatory figures, drawn of your own image and mask.

prompts (Fig. 3), candidates (Fig. 14), box (Fig. 4a), regions (Fig. 10), cascade (rounds one by one), gaussians
(Fig. 12), points (Fig. 15). By --only: similarity (Fig. 13; with --others, or a mask of several parts), grid (Fig. 6;
takes minutes on a CPU), and with --truth, from which they make coarse masks, defects (Fig. 2) and qualities (Fig. 16).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from samref.config.paths import path_problem
from samref.errors import ConfigError

FIGURES = ("prompts", "candidates", "box", "regions", "cascade", "gaussians", "points")
# They need more than a mask, or minutes.
ON_REQUEST = ("similarity", "grid", "defects", "qualities")


def main(words: Sequence[str]) -> int:
    """Draws the figures.

    Raises:
        SamrefError: when something is wrong.
    """
    options = _parser().parse_intermixed_args(words)
    given = {"": options.image, " ": options.mask, "--truth ": options.truth}
    given |= {f"--others{' ' * k}": path for k, path in enumerate(options.others, 1)}
    problems = [path_problem(name.lstrip(), str(path), "InputFile") for name, path in given.items() if path is not None]
    if any(problems):
        raise ConfigError("; ".join(problem for problem in problems if problem))
    print(f"loading {options.backbone} ...", flush=True)
    from samref.cli.illustrations import draw, read_subject

    draw(options, read_subject(options.image, options.mask, options.truth, options.label, options.threshold))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samref illustrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="any image file")
    parser.add_argument(
        "mask", type=Path, metavar="MASK", help="coarse mask: 0/1 or 0/255, or see --label, --threshold"
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for samref run: prompts.mask.omega=30")
    parser.add_argument("--truth", type=Path, metavar="MASK", help="true mask; IoUs are then in the captions")
    parser.add_argument("--label", type=int, metavar="K", help="the masks are label maps, and K is the object")
    parser.add_argument("--threshold", type=int, metavar="T", help="the masks are gray, and T or more is the object")
    parser.add_argument("--out", type=Path, default=Path("outputs/illustrations"), metavar="DIR", help="%(default)s")
    parser.add_argument(
        "--others", nargs="+", type=Path, default=[], metavar="MASK", help="masks of other objects, for similarity"
    )
    every = (*FIGURES, *ON_REQUEST)
    parser.add_argument(
        "--only", nargs="+", choices=every, default=FIGURES, metavar="FIGURE", help=f"some of {', '.join(every)}"
    )
    parser.add_argument(
        "--points", type=_positive, metavar="N", help="of the grid, along either side (the refiner's own)"
    )
    parser.add_argument("--rounds", type=_positive, default=5, metavar="N", help="of the cascade (%(default)s)")
    parser.add_argument("--backbone", default="mobile_sam", metavar="NAME", help="the model (%(default)s)")
    parser.add_argument("--device", default="auto", metavar="NAME", help="where it runs (%(default)s)")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is too few; expected 1 or more")
    return value
