"""`python -m samref.report tables`: what runs left, as the paper's tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from samref.errors import SamrefError
from samref.report.tables import EXPERIMENTS, show_tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0 when it did what it says, 1 with one sentence on stderr when it could not."""
    options = _parser().parse_args(arguments)
    try:
        show_tables(options.outputs, options.experiments, options.write or options.outputs[0] / "tables")
    except SamrefError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m samref.report", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    tables = commands.add_parser("tables", help="every table of the paper: paper, ours, difference, command")
    tables.add_argument(
        "--outputs", nargs="+", type=Path, default=[Path("outputs")], metavar="DIR", help="folders with runs (outputs)"
    )
    tables.add_argument(
        "--experiments", type=Path, default=EXPERIMENTS, metavar="DIR", help="folder of the published tables"
    )
    tables.add_argument(
        "--write", type=Path, metavar="DIR", help="where .md and .csv go (tables/ in the first outputs)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
