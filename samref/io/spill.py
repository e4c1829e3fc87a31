"""JSON values by number that lie on the disk until they are read: a place each is in memory."""

from __future__ import annotations

import json
import tempfile
from array import array
from pathlib import Path
from typing import IO, Any


class Spill:
    """Values in a file without a name, which is gone with the process; a later value takes the place of an earlier."""

    def __init__(self, folder: Path) -> None:
        """Opens no file yet.

        Args:
            folder: on whose disk the values lie.
        """
        self.folder = folder
        # By number, where a value begins; -1 where there is none.
        self._starts = array("q")
        self._file: IO[bytes] | None = None
        self._end = 0

    def __bool__(self) -> bool:
        return self._end > 0

    def __contains__(self, number: int) -> bool:
        return number < len(self._starts) and self._starts[number] >= 0

    def __setitem__(self, number: int, value: Any) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - `close` closes it
        self._starts.extend([-1] * (number + 1 - len(self._starts)))
        self._starts[number] = self._end
        self._file.seek(self._end)
        self._end += self._file.write(json.dumps(value).encode() + b"\n")

    def __getitem__(self, number: int) -> Any:
        if self._file is None or number not in self:
            raise KeyError(number)
        self._file.seek(self._starts[number])
        return json.loads(self._file.readline())

    def close(self) -> None:
        """Deletes the values."""
        if self._file is not None:
            self._file.close()
        self._file, self._starts, self._end = None, array("q"), 0
