"""Writes refined masks as one COCO file, through a resume log that survives an interruption."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch.distributed
from filelock import FileLock

from samref.datasets.dataset import MaskWriter
from samref.errors import OutputError
from samref.io.atomic import append_sealed, note_growing, sealed_lines, write_text
from samref.io.coco_files import CocoFile, Record
from samref.io.coco_ids import ImageId
from samref.structures import REFINED, BoolArray, Refinement, Sample

JOURNAL = ".journal"
LONGEST_STEM = 200
REPLACED = ("segmentation", "area", "bbox")


class CocoWriter(MaskWriter):
    """Collects refined records and writes one file of the kind that came, in its order.

    Every image's records go to a resume log (JSON lines, one file a process) at once; `close` puts the file together
    from all logs beside it. So an interrupted run, resumed into the same folder, loses nothing, and with several
    processes the last one to close has everything. Records that were never refined stay as they came; those of images
    that the run leaves out by `image_ids` are left out.
    """

    def __init__(
        self,
        output: Path,
        coarse: CocoFile,
        image_ids: set[ImageId] | None,
        records: Callable[[Sample, BoolArray], list[Record]],
    ) -> None:
        """Opens the folder.

        Args:
            output: folder of the file.
            coarse: the file of coarse masks.
            image_ids: of the images to write, or None for all.
            records: turns masks of a sample into records.
        """
        self.path = output / (coarse.path.stem + ".json")
        # A file's name may be as long as the system allows; those beside it have longer ones.
        long = len(self.path.stem.encode()) > LONGEST_STEM
        self._short = hashlib.sha256(self.path.stem.encode()).hexdigest()[:16] if long else self.path.stem
        self._coarse, self._image_ids, self._records = coarse, image_ids, records
        output.mkdir(parents=True, exist_ok=True)

    def write(self, sample: Sample, refinement: Refinement) -> None:
        """Adds one image's refined masks to the resume log; masks that were not refined keep their record."""
        records = self._records(sample, refinement.masks)
        positions = sample.meta["positions"]
        refined = [
            (position, {key: record[key] for key in REPLACED if key in record})
            for position, record, flag in zip(positions, records, refinement.flags, strict=True)
            if flag == REFINED
        ]
        append_sealed(self._journal, refined)
        note_growing(self._journal)

    @cached_property
    def _journal(self) -> Path:
        # At the first write: the processes of a run know their ranks only once it has started.
        journal = self.path.with_name(f".{self._short}.{_rank() or 0}{JOURNAL}")
        if journal.is_file():
            sealed_lines(journal)  # which cuts off what a killed process left of a line
        return journal

    def close(self) -> None:
        """Writes the file atomically."""
        lock = self.path.with_name(f".{self._short}.lock")
        with FileLock(lock):
            journals = sorted(self.path.parent.glob(f".{glob.escape(self._short)}.*{JOURNAL}"))
            refined = {position: fields for path in journals for position, fields in _read_journal(path)}
            write_text(self.path, json.dumps(self._merged(refined)))
        if _rank() is None:
            for path in (*journals, lock):
                path.unlink(missing_ok=True)

    def _merged(self, refined: dict[int, dict[str, Any]]) -> Any:
        records = [
            {**record, **refined[position]} if position in refined else record
            for position, record in enumerate(self._coarse.records)
            if self._image_ids is None or (isinstance(record, dict) and record.get("image_id") in self._image_ids)
        ]
        return self._coarse.with_records(records, self._image_ids)


def _rank() -> int | None:
    """This process's place among those of the run, or None if it is the only one."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if together else None


def _read_journal(path: Path) -> list[tuple[int, dict[str, Any]]]:
    lines = sealed_lines(path)
    if None in lines:
        raise OutputError(
            f"line {lines.index(None) + 1} of {path}, which keeps the masks refined so far, is damaged; "
            "run again with force=true"
        )
    return [(position, fields) for line in lines for position, fields in line]
