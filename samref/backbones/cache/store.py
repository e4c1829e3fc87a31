"""A folder of embeddings, bounded in size, that any number of processes may share and any of them may be killed in."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from samref.backbones.cache.entry import BrokenEntry, Tensors, read_entry, write_entry
from samref.backbones.weights.store import cache_folder
from samref.errors import ConfigError

SUFFIX = ".safetensors"
ENTRIES = f"*/[!.]*{SUFFIX}"
PARTIAL = "*/.partial-*"
# Eviction leaves some room, so that a full cache is not scanned again at every write.
FILL = 0.9
# Other processes' writes are seen at the latest after so many of one's own.
SCAN_EVERY = 32
# A temporary file this old was left by a killed writer.
ABANDONED_SECONDS = 3600
# Longest wait for another process that encodes the same image; then one encodes it oneself.
PATIENCE_SECONDS = 600


def embeddings_folder() -> Path:
    """Where embeddings are kept, beside the weights."""
    return cache_folder() / "embeddings"


@dataclass(frozen=True)
class File:
    """A file of the cache: where it is, its bytes, and when it was last used."""

    path: Path
    size: int
    used: float


class EmbeddingStore:
    """Embeddings by key, the least recently used ones deleted first.

    The store helps where it can and never stands in the way: an entry that cannot be read is a miss, one that cannot
    be written is a warning.
    """

    def __init__(self, folder: Path, max_gb: float) -> None:
        """Opens a store; nothing is written before the first entry.

        Args:
            folder: made when needed.
            max_gb: largest size in GB (1e9 bytes), exceeded at most by what other processes write meanwhile.
        """
        if max_gb <= 0:
            raise ConfigError(f"backbone.cache_max_gb is {max_gb}; expected a number above 0, or backbone.cache=false")
        self.folder, self.max_bytes = folder, max_gb * 1e9
        self._writable = True
        self._known_bytes = 0.0
        self._writes = 0

    def path(self, group: str, key: str) -> Path:
        """The file of an entry; groups (backbones) are folders."""
        return self.folder / re.sub(r"[^\w.-]", "_", group) / f"{key}{SUFFIX}"

    def read(self, group: str, key: str) -> Tensors | None:
        """The verified tensors of an entry, or None; a broken entry is deleted."""
        path = self.path(group, key)
        try:
            tensors = read_entry(path, key)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except BrokenEntry:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        with suppress(OSError):  # in a read-only cache the order of use is not kept
            path.touch()
        return tensors

    def write(self, group: str, key: str, tensors: Tensors) -> None:
        """Adds an entry and makes room for it; a disk that does not take it costs a warning, never the run."""
        if not self._writable:
            return
        path = self.path(group, key)
        try:
            write_entry(path, key, tensors)
            self._known_bytes += path.stat().st_size
            if self._writes % SCAN_EVERY == 0 or self._known_bytes > self.max_bytes:
                self._make_room()
            self._writes += 1
        except (OSError, SafetensorError) as error:
            self._writable = False
            warnings.warn(
                f"embeddings are not cached from here on: {self.folder} cannot be written ({error}); free some space, "
                "set SAMREF_CACHE to another folder or use backbone.cache=false",
                RuntimeWarning,
                stacklevel=2,
            )

    @contextmanager
    def encoding(self, key: str) -> Iterator[None]:
        """Held while an image is encoded: jobs that run side by side over one data set encode each image once."""
        with ExitStack() as stack:
            # Few lock files, shared by many keys, so that they do not pile up. Some network disks know no locks.
            with suppress(OSError, Timeout, NotImplementedError):
                folder = self.folder / "locks"
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(folder / key[:2], timeout=PATIENCE_SECONDS))
            yield

    def files(self) -> list[File]:
        """All entries, the least recently used first."""
        return sorted(self._scan(ENTRIES), key=lambda file: file.used)

    def clear(self) -> tuple[int, int]:
        """Deletes every entry; returns how many, and their bytes."""
        files = [*self._scan(ENTRIES), *self._scan(PARTIAL)]
        for file in files:
            file.path.unlink(missing_ok=True)
        self._known_bytes = 0.0
        return len(files), sum(file.size for file in files)

    def _make_room(self) -> None:
        now = time.time()
        for file in self._scan(PARTIAL):
            if now - file.used > ABANDONED_SECONDS:
                file.path.unlink(missing_ok=True)
        files = self.files()
        total = float(sum(file.size for file in files))
        if total > self.max_bytes:
            for file in files:
                if total <= FILL * self.max_bytes:
                    break
                file.path.unlink(missing_ok=True)
                total -= file.size
        self._known_bytes = total

    def _scan(self, pattern: str) -> list[File]:
        found = []
        for path in self.folder.glob(pattern):
            with suppress(FileNotFoundError):  # another process may delete it while we look
                stat = path.stat()
                found.append(File(path, stat.st_size, stat.st_mtime))
        return found
