"""`python -m samref.report tables` and `figures`: what runs left, as the paper's tables and plots."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from samref.errors import SamrefError
from samref.report.tables import EXPERIMENTS, show_tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0 when it succeeds, 1 with one sentence on stderr when it could not."""
    options = _parser().parse_args(arguments)
    try:
        write = options.write or options.outputs[0] / options.command
        if options.command == "tables":
            show_tables(options.outputs, options.experiments, write)
        else:
            # matplotlib is an extra, and slow to come up.
            from samref.report.plots import show_figures

            show_figures(options.outputs, options.experiments, write)
    except SamrefError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m samref.report", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    helps = {
        "tables": "every table of the paper: paper, ours, difference, command",
        "figures": "the plots of the paper, as PNG and SVG, with the points that it prints as numbers",
    }
    for name, text in helps.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--outputs",
            nargs="+",
            type=Path,
            default=[Path("outputs")],
            metavar="DIR",
            help="folders with runs (outputs)",
        )
        command.add_argument(
            "--experiments", type=Path, default=EXPERIMENTS, metavar="DIR", help="folder of the published numbers"
        )
        command.add_argument("--write", type=Path, metavar="DIR", help=f"where files go ({name}/ in the first outputs)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
