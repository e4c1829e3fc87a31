"""The resume log: what a run has finished, image by image, kept beside its report.

A killed run goes on where it stopped, and a run whose inputs changed refines what changed: an image is known by its
key, a hash of all that decides its result.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samref.callbacks.announced import Announced
from samref.callbacks.run_statistics import RunStatistics
from samref.errors import OutputError
from samref.io.atomic import Note, changed_files, missing_files

FILE = ".resume.sqlite"
# In place of the image of a file: a killed process was about to write it.
UNRECORDED = ""
FORMAT = 1  # raised whenever the tables change; a log of another format is left behind unread
TABLES = """
CREATE TABLE IF NOT EXISTS results (
  image TEXT PRIMARY KEY,   -- its id as JSON
  key TEXT NOT NULL,        -- hash of all that decides the result
  names TEXT NOT NULL,      -- object ids that are places in a file of the data set, or null
  kinds TEXT NOT NULL,      -- of files that were written of it: masks, candidates
  files INTEGER NOT NULL,   -- how many
  content BLOB NOT NULL     -- the result, compressed JSON; its checksum is zlib's
);
CREATE TABLE IF NOT EXISTS files (
  path TEXT PRIMARY KEY,    -- below the run's folder where it lies there; bytes if it is not UTF-8
  image TEXT,               -- null for files of the run as one
  size INTEGER NOT NULL,
  digest TEXT NOT NULL,
  current INTEGER NOT NULL, -- 0: written for an image that has changed since, or is gone
  checked INTEGER NOT NULL  -- 0: about to be written again, so that its content says nothing
);
CREATE TABLE IF NOT EXISTS evidence (key TEXT PRIMARY KEY, content TEXT NOT NULL);
"""


@dataclass
class SampleResult:
    """What is kept of one image: enough to count, score, write and show it without refining it again.

    Attributes:
        statistics: of the image; its rows in the table of samples.
        counts: of the scorer.
        kept: of the writer.
        refinement: see `samref.callbacks.refinement_json`.
        numbers: of the gallery, by the mask's place; None where there was no gallery.
    """

    statistics: RunStatistics
    counts: Any = None
    kept: Any = None
    refinement: dict[str, Any] = field(default_factory=dict)
    numbers: dict[int, Mapping[str, float]] | None = None

    def to_bytes(self) -> bytes:
        """As compressed JSON."""
        numbers = None if self.numbers is None else list(self.numbers.items())
        values = [self.statistics.to_json(), self.counts, self.kept, self.refinement, numbers]
        return zlib.compress(json.dumps(values).encode(), 1)

    @classmethod
    def from_bytes(cls, content: bytes) -> SampleResult:
        """What `to_bytes` made.

        Raises:
            zlib.error, ValueError, KeyError, TypeError: for damaged content.
        """
        statistics, counts, kept, refinement, numbers = json.loads(zlib.decompress(content))
        numbered = None if numbers is None else {int(k): values for k, values in numbers}
        return cls(RunStatistics.from_json(statistics), counts, kept, refinement, numbered)

    def rename(self, before: Sequence[Any], after: Sequence[Any]) -> None:
        """Gives objects that are named by their places in a file their new names."""
        names = dict(zip(before, after, strict=True))
        for row in self.statistics.rows:
            row["object"] = names[row["object"]]


@dataclass(frozen=True)
class Wanted:
    """What a result must be to be taken up again.

    Attributes:
        key: of the image.
        names: its object ids, where they are places in a file of the data set.
    """

    key: str
    names: Sequence[Any] | None = None


class ResumeLog:
    """The results of a run in one SQLite file; one transaction an image.

    Each process of a run has a file of its own. Those of helpers are joined with the first process's when the next run
    opens the log.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        """Opens the log of a process; a damaged one is left behind, and the run starts from nothing.

        Args:
            folder: of the run, which nobody else writes to.
            rank: of this process.
        """
        self.folder = folder
        self.path = folder / (FILE if not rank else f".resume-{rank}.sqlite")
        with self._reporting():
            self._open()
        if not rank:
            for path in sorted(folder.glob(".resume-*.sqlite")):
                self._join(path)
            self._learn(Announced(folder))

    def close(self) -> None:
        """Closes the file."""
        with suppress(sqlite3.Error):
            self._base.close()

    def record(
        self, image_id: Hashable, wanted: Wanted, content: bytes, files: Mapping[str, Mapping[str, Note]]
    ) -> None:
        """Keeps the result of one image; when this returns, a killed process does not lose it any more.

        Args:
            image_id: of the image.
            wanted: its key and names.
            content: of `SampleResult.to_bytes`.
            files: that hold them, by kind.
        """
        image, names = _text(image_id), json.dumps(None if wanted.names is None else list(wanted.names))
        notes = {path: note for part in files.values() for path, note in part.items()}
        values = (image, wanted.key, names, json.dumps(sorted(files)), len(notes), content)
        with self._reporting(), self._base:
            self._base.execute("UPDATE files SET current = 0 WHERE image = ?", (image,))
            self._base.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?)", values)
            self._note(image, notes)

    def record_outputs(self, notes: Mapping[str, Note], checked: bool = True) -> None:
        """Keeps what was written for the run as one, such as the table of samples.

        Args:
            notes: of the files.
            checked: whether nobody may change them; else it only counts that they are there.
        """
        with self._reporting(), self._base:
            self._note(None, notes, checked)

    def reusable(self, wanted: Mapping[Hashable, Wanted], kinds: Collection[str]) -> list[Hashable]:
        """The images whose results can be taken up again.

        Args:
            wanted: by image id.
            kinds: of files that must be there.
        """
        by_image = {_text(image_id): image_id for image_id in wanted}
        paths: dict[str, list[str]] = {}
        found = []
        with self._reporting():
            for image, path in self._base.execute("SELECT image, path FROM files WHERE current AND image NOT NULL"):
                paths.setdefault(image, []).append(self._absolute(path))
            for image, key, names, written, count, content in self._base.execute("SELECT * FROM results"):
                want, files = wanted.get(by_image.get(image)), paths.get(image, [])
                if want is None or not want.key or key != want.key or not set(kinds) <= set(json.loads(written)):
                    continue
                if len(files) == count and all(map(os.path.isfile, files)) and _fits(content, names, want):
                    found.append(by_image[image])
        return found

    def result(self, image_id: Hashable, wanted: Wanted) -> SampleResult:
        """The result of one of the images that `reusable` returned; its objects have the names that are wanted."""
        select = "SELECT names, content FROM results WHERE image = ?"
        with self._reporting():
            names, content = self._base.execute(select, (_text(image_id),)).fetchone()
        result = SampleResult.from_bytes(content)
        if wanted.names is not None:
            result.rename(json.loads(names), wanted.names)
        return result

    def changed(self, images: Collection[Hashable]) -> list[str]:
        """Files of the run and of some images that do not hold any more what was written."""
        mine = {None, *map(_text, images)}
        with self._reporting():
            rows = self._base.execute("SELECT image, path, size, digest FROM files WHERE checked").fetchall()
        return changed_files(
            {self._absolute(path): (size, digest) for image, path, size, digest in rows if image in mine}
        )

    def missing_outputs(self) -> list[str]:
        """Files that were written and are not there any more, those of images that have changed or are gone aside."""
        with self._reporting():
            rows = self._base.execute("SELECT path FROM files WHERE current").fetchall()
        return missing_files(self._absolute(path) for (path,) in rows)

    def notes(self, path: Path) -> Note | None:
        """Size and hash of a file as it was written, or None."""
        select = "SELECT size, digest FROM files WHERE path = ? AND current AND checked"
        with self._reporting():
            found: Note | None = self._base.execute(select, (self._relative(str(path)),)).fetchone()
        return found

    def begin(self, images: Collection[Hashable]) -> None:
        """Lets the files of some images, and those of the run as one, be written again.

        A process killed between writing a file and recording it must not pass for somebody who changed the file.
        """
        with self._reporting(), self._base:
            self._base.execute("UPDATE files SET checked = 0, current = 0 WHERE image IS NULL")
            self._base.executemany("UPDATE files SET checked = 0 WHERE image = ?", [(_text(id),) for id in images])

    def forget(self) -> None:
        """Forgets all results; which files were written is kept."""
        with self._reporting(), self._base:
            self._base.execute("DELETE FROM results")
            self._base.execute("DELETE FROM evidence")
            self._base.execute("UPDATE files SET checked = 0, current = 0")

    def left_over(self, written: Collection[str]) -> list[str]:
        """Files that earlier runs wrote for images which have changed since, failed now, or are no longer an input.

        Args:
            written: files of the images of this run.
        """
        mine = {os.path.abspath(path) for path in written}
        with self._reporting():
            rows = self._base.execute("SELECT path FROM files WHERE image NOT NULL").fetchall()
        found = [self._absolute(path) for (path,) in rows]
        return sorted(path for path in found if os.path.abspath(path) not in mine and os.path.isfile(path))

    def files_of(self, images: Collection[Hashable]) -> list[str]:
        """Files that hold the masks of some images."""
        mine = set(map(_text, images))
        with self._reporting():
            rows = self._base.execute("SELECT image, path FROM files WHERE current").fetchall()
        return [self._absolute(path) for image, path in rows if image in mine]

    def evidence(self, key: str) -> Any:
        """What `keep_evidence` kept under a key, or None."""
        with self._reporting():
            row = self._base.execute("SELECT content FROM evidence WHERE key = ?", (key,)).fetchone()
        with suppress(ValueError):
            return json.loads(row[0]) if row else None
        return None

    def keep_evidence(self, key: str, values: Any) -> None:
        """Keeps what was found out about an image before its masks are refined, as JSON values."""
        with self._reporting(), self._base:
            self._base.execute("INSERT OR REPLACE INTO evidence VALUES (?, ?)", (key, json.dumps(values)))

    def _open(self) -> None:
        self._base = _connect(self.path)
        try:
            _prepare(self._base)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self._base.close()
            print(f"{self.path} cannot be read any more: every image is refined again")
            _delete(self.path)
            self._base = _connect(self.path)
            _prepare(self._base)

    def _join(self, path: Path) -> None:
        """Takes over the results of another process."""
        with suppress(sqlite3.DatabaseError):
            other = _connect(path)
            try:
                results = other.execute("SELECT * FROM results").fetchall()
                files = other.execute("SELECT * FROM files").fetchall()
            finally:
                other.close()
            with self._base:
                images = [(row[0],) for row in results]
                self._base.executemany("UPDATE files SET current = 0 WHERE image = ?", images)
                self._base.executemany("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?)", results)
                self._base.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", files)
        _delete(path)

    def _learn(self, announced: Announced) -> None:
        """Takes over files that a killed process has written, perhaps, and could not record."""
        rows = [(self._relative(path), UNRECORDED, 0, "", 0, 0) for path in announced.paths()]
        with self._reporting(), self._base:
            self._base.executemany("INSERT OR IGNORE INTO files VALUES (?, ?, ?, ?, ?, ?)", rows)
        announced.clear()

    def _note(self, image: str | None, notes: Mapping[str, Note], checked: bool = True) -> None:
        rows = [(self._relative(path), image, size, digest, 1, int(checked)) for path, (size, digest) in notes.items()]
        self._base.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _relative(self, path: str) -> str | bytes:
        # A folder of results may be moved as one.
        absolute, root = os.path.abspath(path), os.path.join(os.path.abspath(self.folder), "")
        below = absolute.removeprefix(root)
        try:
            below.encode()
        except UnicodeEncodeError:
            # SQLite holds no text that is not UTF-8, which names of files may be.
            return os.fsencode(below)
        return below

    def _absolute(self, path: str | bytes) -> str:
        return os.path.join(self.folder, os.fsdecode(path))

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OutputError(
                f"{self.path} cannot be written: {error}; make room, or choose a folder that can be written by "
                "paths.outputs, and run the same command again, which goes on from here"
            ) from error
        except sqlite3.DatabaseError as error:
            raise OutputError(f"{self.path} is damaged ({error}); run again with force=true") from error


def discard(folder: Path) -> None:
    """Deletes the logs in a folder."""
    for path in (folder / FILE, *folder.glob(".resume-*.sqlite")):
        _delete(path)


def _connect(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path)
    # The run's folder has one owner. Alone, SQLite needs no shared memory, which network file systems lack.
    base.execute("PRAGMA locking_mode = EXCLUSIVE")
    return base


def _prepare(base: sqlite3.Connection) -> None:
    """Raises `sqlite3.DatabaseError` for a damaged file."""
    # Transactions are appended and survive the process; a power cut may take the last ones, never half of one. On a
    # slow disk this costs 0.1 ms an image, SQLite's default 30 ms.
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = NORMAL")
    if base.execute("PRAGMA quick_check").fetchall() != [("ok",)]:
        raise sqlite3.DatabaseError("file is malformed")
    found = base.execute("PRAGMA user_version").fetchone()[0]
    if found not in (0, FORMAT):
        raise sqlite3.DatabaseError("file is of another version")
    with base:
        base.executescript(TABLES)
        base.execute(f"PRAGMA user_version = {FORMAT}")


def _fits(content: bytes, names: str, wanted: Wanted) -> bool:
    """Whether a result is intact, and its objects can get the names that are wanted."""
    before, after = json.loads(names), None if wanted.names is None else list(wanted.names)
    try:
        if before == after:
            return bool(zlib.decompress(content))
        # Sentences on masks that could not be decoded name them by their places.
        renamed = before is not None and after is not None and len(before) == len(after)
        return renamed and not SampleResult.from_bytes(content).statistics.failures
    except zlib.error:
        return False


def _delete(path: Path) -> None:
    for end in ("", "-wal", "-journal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _text(image_id: Any) -> str:
    return json.dumps(image_id)
