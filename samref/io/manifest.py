"""What files hold, by hash; a file that has not moved since it was hashed is not read again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import NamedTuple

from samref.io.atomic import write_text

CHUNK = 1 << 20
# A file that was written so shortly before it was hashed may be written again within the same tick of the clock, which
# leaves size and times as they are; such a file is hashed again.
SETTLED_NS = 2 * 10**9


class Stamp(NamedTuple):
    """What moves when a file is written: size in bytes, times of content and of its entry in the folder, both in ns."""

    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: str | Path) -> Stamp | None:
        """Of a file; None if there is none to be read."""
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Manifest:
    """Hashes of the files that a run reads, kept in a file of its own beside the results."""

    def __init__(self, path: Path) -> None:
        """Reads what an earlier run has hashed; a missing or damaged manifest only means that files are hashed again.

        Args:
            path: of the manifest, JSON.
        """
        self.path = path
        self._kept = _read(path)
        self._seen: dict[str, tuple[Stamp | None, str]] = {}
        self._settled: dict[str, tuple[Stamp, str]] = {}

    def digest(self, path: str | Path) -> str:
        """Hash of a file's content, of all files below a folder, or empty if there is nothing that can be read."""
        if os.path.isdir(path):
            return self.of_folder(Path(path))
        name = os.path.abspath(path)
        if name not in self._seen:
            self._seen[name] = self._hashed(name)
        return self._seen[name][1]

    def of_folder(self, folder: Path) -> str:
        """Hash of the names and contents of all files below a folder."""
        names = sorted(
            os.path.relpath(os.path.join(inside, name), folder)
            for inside, _, files in os.walk(folder, followlinks=True)
            for name in files
        )
        content = hashlib.blake2b(digest_size=16)
        for name in names:
            content.update(os.fsencode(name) + b"\0" + self.digest(folder / name).encode() + b"\n")
        return content.hexdigest()

    def moved(self, path: str | Path) -> bool:
        """Whether a file was written again since this object hashed it."""
        name = os.path.abspath(path)
        return name in self._seen and Stamp.of(name) != self._seen[name][0]

    def save(self) -> None:
        """Keeps the hashes of the files that were looked at."""
        text = json.dumps({name: [*stamp, digest] for name, (stamp, digest) in self._settled.items()})
        write_text(self.path, text + "\n")

    def _hashed(self, name: str) -> tuple[Stamp | None, str]:
        stamp = Stamp.of(name)
        if stamp is None:
            return None, ""
        kept = self._kept.get(name)
        if kept is not None and kept[0] == stamp:
            self._settled[name] = kept
            return kept
        now = time.time_ns()
        try:
            digest = hash_file(name)
        except OSError:
            return stamp, ""
        if max(stamp.mtime_ns, stamp.ctime_ns) + SETTLED_NS < now:
            self._settled[name] = stamp, digest
        return stamp, digest


def hash_file(path: str | Path) -> str:
    """Hash of a file's content, 32 characters.

    Raises:
        OSError: if it cannot be read.
    """
    content = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            content.update(chunk)
    return content.hexdigest()


def _read(path: Path) -> dict[str, tuple[Stamp, str]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(name): (Stamp(int(size), int(mtime), int(ctime)), str(digest))
            for name, (size, mtime, ctime, digest) in entries.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
