"""`samref pictures RUN [RUN ...]`: what several runs made of the same masks, side by side.

A RUN is the folder of a run that wrote its masks (save_masks=true) next to its report.json. The paper's Figs. 1a and
17 to 19 are such pictures. The data set is read again from where the runs found it, so the command is given in the same
folder as they were.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from samref.config.paths import path_problem
from samref.errors import ConfigError

ORDERS = {
    "gain": "what the first run gained most",
    "loss": "what it lost most: its failures",
    "lead": "where it is most ahead of the best of the other runs",
    "lag": "where it is most behind it",
    "change": "what it changed most (the only one of these without ground truth)",
}


def main(words: Sequence[str]) -> int:
    """Draws the picture.

    Raises:
        SamrefError: when something is wrong.
    """
    options = _parser().parse_args(words)
    problems = [path_problem("", str(folder), "InputFolder") for folder in options.runs]
    if any(problems):
        raise ConfigError("; ".join(problem for problem in problems if problem))
    from samref.cli.picture_rows import draw

    draw(options.runs, options.by, options.limit, options.names, options.prompts, options.out)
    print(options.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samref pictures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run that wrote its masks")
    orders = "; ".join(f"{name}: {text}" for name, text in ORDERS.items())
    parser.add_argument("--by", choices=ORDERS, default="gain", help=f"{orders} (%(default)s)")
    parser.add_argument("--limit", type=int, default=6, metavar="N", help="masks shown at most (%(default)s)")
    parser.add_argument(
        "--names", nargs="+", default=[], metavar="TEXT", help="only masks whose image and object contain one of these"
    )
    parser.add_argument("--prompts", action="store_true", help="draw points and boxes")
    parser.add_argument("--out", type=Path, default=Path("outputs/pictures.png"), metavar="FILE", help="%(default)s")
    return parser
