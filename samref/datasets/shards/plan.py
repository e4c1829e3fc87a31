"""What a folder of shards holds, and which shard an image belongs to."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from samref.errors import DatasetError
from samref.io.atomic import write_text
from samref.io.coco_ids import plain_id

FILE = "shards.json"
REFINED = "refined"


@dataclass(frozen=True)
class Plan:
    """How a data set was split; written when all of its shards are there.

    Attributes:
        kind: `coco` or `folder`.
        source: absolute path of the coarse masks.
        images: absolute path of the images' folder; empty where the split needs none.
        size: of the source in bytes; 0 for a folder.
        changed: when the source was last changed, nanoseconds; 0 for a folder.
        count: of shards.
    """

    kind: str
    source: str
    images: str
    size: int
    changed: int
    count: int

    @classmethod
    def of(cls, kind: str, source: Path, images: Path | None, count: int) -> Plan:
        """The plan of a source as it is now."""
        status = source.stat()
        size, changed = (status.st_size, status.st_mtime_ns) if source.is_file() else (0, 0)
        return cls(kind, str(source.resolve()), "" if images is None else str(images.resolve()), size, changed, count)

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """The plan of a folder.

        Raises:
            DatasetError: if it holds none, or the source has changed since.
        """
        try:
            values: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
            plan = cls(**values)
        except (OSError, ValueError, TypeError):
            raise DatasetError(
                f"{folder} holds no shards; expected a folder that `samref shards split` has made"
            ) from None
        source, images = Path(plan.source), Path(plan.images) if plan.images else None
        if not source.exists() or cls.of(plan.kind, source, images, plan.count) != plan:
            raise DatasetError(f"{source} has changed since it was split into {folder}; split it into a new folder")
        return plan

    def begin(self, folder: Path) -> bool:
        """Whether the folder still has to be made.

        Raises:
            DatasetError: if it holds other shards.
        """
        if not (folder / FILE).exists():
            return True
        if json.loads((folder / FILE).read_text(encoding="utf-8")) != asdict(self):
            raise DatasetError(f"{folder} holds other shards than these; choose a new folder")
        return False

    def end(self, folder: Path) -> None:
        """Notes that all shards are there."""
        write_text(folder / FILE, json.dumps(asdict(self), indent=1) + "\n")


def shard_of(image_id: Any, count: int) -> int:
    """The shard of an image, the same in every run; "7" and 7 are one image.

    >>> shard_of(7, 4) == shard_of("7", 4)
    True
    """
    plain = plain_id(image_id)
    return zlib.crc32(str(image_id if plain is None else plain).encode("utf-8", "surrogatepass")) % count


def check_output(output: Path, inputs: list[Path]) -> None:
    """Refuses an output that would take the place of an input.

    Raises:
        DatasetError: naming both.
    """
    for path in inputs:
        if output.resolve() == path.resolve() or path.resolve() in output.resolve().parents:
            raise DatasetError(f"{output} lies in {path}, which is read; choose another folder for the merged masks")
