"""The cache of weights: where files lie, how they are verified, and how they get there complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pooch
from filelock import FileLock

from samref.backbones.weights.checkpoint import content_sha256, file_sha256, read_state_dict
from samref.backbones.weights.registry import Checkpoint
from samref.errors import WeightsError
from samref.io.atomic import write_text


@dataclass(frozen=True)
class VerifiedFile:
    """A checkpoint file whose hash is as expected.

    Attributes:
        path: the file.
        sha256: hash of an official or a user's file; of a converted one, that of its content.
    """

    path: Path
    sha256: str


def cache_folder() -> Path:
    """`$SAMREF_CACHE`, else the platform's cache folder."""
    return Path(os.environ.get("SAMREF_CACHE") or pooch.os_cache("samref")).expanduser()


def cached_paths(entry: Checkpoint) -> list[Path]:
    """Where the cache keeps a checkpoint: the official file, then the converted one."""
    folder = cache_folder() / "weights"
    paths = [folder / entry.filename]
    if entry.npm is not None:
        paths.append(folder / f"{entry.name}-{entry.npm.spec.replace('@', '-')}.safetensors")
    return paths


def verified(entry: Checkpoint, path: Path) -> VerifiedFile:
    """Checks a file of the cache.

    A file whose authors published no hash is read once, and its hash recorded beside it for every later use.

    Raises:
        WeightsError: when the file is not what it should be.
    """
    if path.suffix == ".safetensors" and entry.npm is not None:
        expected: str | None = entry.npm.content_sha256
        found = content_sha256(read_state_dict(path))
    else:
        expected = entry.sha256 or _recorded(path)
        found = file_sha256(path)
        if expected is None:
            read_state_dict(path)
            with suppress(OSError):  # in a read-only cache there is no record; its owner vouches for the file
                record(path, found)
            expected = found
    if found != expected:
        raise WeightsError(f"{path} has sha256 {found}; expected {expected}")
    return VerifiedFile(path, found)


def remove(path: Path) -> None:
    """Deletes a file of the cache and the record of its hash."""
    path.unlink(missing_ok=True)
    _record_path(path).unlink(missing_ok=True)


@contextmanager
def locked(entry: Checkpoint) -> Iterator[None]:
    """Makes processes that need the same checkpoint at once wait for the first."""
    folder = cache_folder() / "weights"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{entry.name}.lock")
        lock.acquire()
    except OSError as error:
        raise WeightsError(
            f"cannot write to the cache folder {folder} ({error}); set SAMREF_CACHE to a folder of yours, or "
            "give backbone.weights=PATH"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside `path` that becomes it when the block succeeds.

    Its name is always the same, so that what a killed process left is overwritten and never piles up; the
    lock keeps others from writing it.
    """
    temporary = path.with_name(f"partial-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def record(path: Path, sha256: str) -> None:
    """Notes the hash of a file whose authors published none, for every later use."""
    # The format of sha256sum, so that `sha256sum --check` reads it too.
    write_text(_record_path(path), f"{sha256}  {path.name}\n")


def _recorded(path: Path) -> str | None:
    record = _record_path(path)
    return record.read_text(encoding="utf-8").split()[0] if record.exists() else None
