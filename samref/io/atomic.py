"""Files that appear under their final name complete or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from samref.errors import InputError

PARTIAL = ".partial-"
CHUNK = 1 << 20
DIGEST = 12  # bytes
# Size in bytes, and a hash of the content.
Note = tuple[int, str]

# Files that a disk is given to sync at once: eight take it as long as two, one after another.
AT_ONCE = 8

# Masks and label maps are flat: without a filter they take less time and less room. Older OpenCV has no choice.
FLAT = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE] if hasattr(cv2, "IMWRITE_PNG_FILTER") else []

_notes: ContextVar[dict[str, Note] | None] = ContextVar("notes", default=None)
# Of `written_together`: temporary paths, with those that they get.
_waiting: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("waiting", default=None)


@contextmanager
def noting_files() -> Iterator[dict[str, Note]]:
    """Notes what is written inside the block, by path, so that `changed_files` can find out whether it is as it was."""
    notes: dict[str, Note] = {}
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)


def missing_files(paths: Iterable[str]) -> list[str]:
    """Those of some files that are not there any more."""
    return [path for path in paths if not os.path.isfile(path)]


def changed_files(notes: Mapping[str, Note]) -> list[str]:
    """Those of the noted files that are there, but do not hold what was written."""
    return [path for path, note in notes.items() if os.path.isfile(path) and not _unchanged(Path(path), note)]


def _unchanged(path: Path, note: Note) -> bool:
    size, digest = note
    return path.stat().st_size == size and _digest(path) == digest


def note_of(text: str) -> Note:
    """The note of a file that holds this text."""
    data = text.encode()
    return len(data), hashlib.blake2b(data, digest_size=DIGEST).hexdigest()


def _digest(path: Path) -> str:
    content = hashlib.blake2b(digest_size=DIGEST)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            content.update(chunk)
    return content.hexdigest()


def remove_partial(folder: Path) -> None:
    """Deletes what killed writers left below a folder; for the one process that writes there."""
    for path in folder.rglob(f"{PARTIAL}*"):
        with suppress(FileNotFoundError):
            path.unlink()


@contextmanager
def atomic_path(path: Path, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`, moved onto it when the block succeeds and deleted when it fails.

    Args:
        path: where the file goes.
        durable: whether it must be on the disk, not only on its way there, when its name appears.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last so that writers which choose a format by it still can.
    handle, name = tempfile.mkstemp(prefix=PARTIAL, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; results are as readable as any other file of the user's.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        waiting = _waiting.get()
        if durable and waiting is not None:
            waiting.append((temporary, path))
            return
        if durable:
            _sync(temporary)
        _move(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def written_together(announce: Callable[[list[Path]], None] | None = None) -> Iterator[None]:
    """Files that are written inside the block appear at its end; none does if the block fails, or the disk.

    They go to the disk at once, which is several times faster than one after another.

    Args:
        announce: is called with their paths before the first of them appears.
    """
    waiting: list[tuple[Path, Path]] = []
    token = _waiting.set(waiting)
    try:
        yield
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(_sync, [temporary for temporary, _ in waiting]))
        if announce is not None:
            announce([path for _, path in waiting])
        for temporary, path in waiting:
            _move(temporary, path)
    except BaseException:
        for temporary, _ in waiting:
            temporary.unlink(missing_ok=True)
        raise
    finally:
        _waiting.reset(token)


def _sync(path: Path) -> None:
    """Without it a power cut can leave an empty file under the final name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _move(temporary: Path, path: Path) -> None:
    os.replace(temporary, path)
    notes = _notes.get()
    if notes is not None:
        notes[str(path)] = (path.stat().st_size, _digest(path))


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically; half characters, which JSON can hold, come out as escapes."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def copy_file(source: Path, target: Path) -> None:
    """Copies a file byte by byte, so that nothing of it can change."""
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def write_png(path: Path, image: npt.NDArray[Any]) -> None:
    """Writes a gray (H x W) or RGB (H x W x 3) uint8 array as PNG atomically; a gray one is a mask, or labels."""
    if image.ndim == 3:
        done, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    else:
        done, data = cv2.imencode(".png", image, FLAT)
    if not done:
        raise InputError(f"cannot encode {path}: array of shape {image.shape} and dtype {image.dtype}")
    write_bytes(path, data.tobytes())
