"""Files that are about to be written, so that those of a killed run are known although it could not record them.

One file a run, to which all its processes append.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = ".announced"


@dataclass(frozen=True)
class Announced:
    """The paths in one file, one JSON string a line.

    Attributes:
        folder: of the run.
    """

    folder: Path

    def __call__(self, paths: Sequence[Path]) -> None:
        """Adds paths; a killed process does not lose them."""
        if paths:
            lines = "".join(json.dumps(os.path.abspath(path)) + "\n" for path in paths)
            file = os.open(self.folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(file, lines.encode())
            finally:
                os.close(file)

    def paths(self) -> list[str]:
        """What was added; a line that a full disk has cut is left out."""
        try:
            lines = (self.folder / FILE).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [path for line in lines if (path := _parsed(line)) is not None]

    def clear(self) -> None:
        """Forgets them all."""
        (self.folder / FILE).unlink(missing_ok=True)


def _parsed(line: str) -> str | None:
    try:
        return str(json.loads(line))
    except ValueError:
        return None
