"""`samref tables` and `samref figures`: what runs left, as the paper's tables and plots."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from samref.config.paths import path_problem
from samref.config.shipped import shipped_folder
from samref.errors import ConfigError


def tables(words: Sequence[str]) -> int:
    """Prints and writes every table of the paper.

    Raises:
        SamrefError: when something is wrong.
    """
    text = "Every table of the paper: paper, ours, difference, command."
    options = _parsed("tables", text, words)
    from samref.report.tables import show_tables

    show_tables(options.outputs, options.experiments, options.write)
    return 0


def figures(words: Sequence[str]) -> int:
    """Draws the plots of the paper.

    Raises:
        SamrefError: when something is wrong.
    """
    text = "The plots of the paper, as PNG and SVG, with the points that it prints as numbers."
    options = _parsed("figures", text, words)
    # matplotlib is an extra, and slow to come up.
    from samref.report.plots import show_figures

    show_figures(options.outputs, options.experiments, options.write)
    return 0


def _parsed(name: str, description: str, words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"samref {name}", description=description)
    parser.add_argument(
        "--outputs", nargs="+", type=Path, default=[Path("outputs")], metavar="DIR", help="folders with runs (outputs)"
    )
    parser.add_argument(
        "--experiments", type=Path, metavar="DIR", help="folder of the published numbers (those that come with samref)"
    )
    parser.add_argument("--write", type=Path, metavar="DIR", help=f"where files go ({name}/ in the first of --outputs)")
    options = parser.parse_args(words)
    problem = options.experiments and path_problem("--experiments ", str(options.experiments), "InputFolder")
    if problem:
        raise ConfigError(problem)
    options.experiments = options.experiments or shipped_folder("experiments")
    options.write = options.write or options.outputs[0] / name
    return options
