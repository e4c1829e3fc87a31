"""One run in a folder at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from samref.errors import OutputError


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keeps every other run out of a folder.

    The lock file stays: deleted while it is held, it would let a third run in beside a second one that waits for it.

    Raises:
        OutputError: if another run is in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise OutputError(
            f"{folder} is being written by another run; wait for it, or choose another paths.outputs or dataset.output"
        ) from None
