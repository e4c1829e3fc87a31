"""Writes refined masks, and on demand the three candidates, while the run goes on."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from lightning import Callback, LightningModule, Trainer

from samref.callbacks.outcome import Outcome
from samref.callbacks.taken_up import TakenUp
from samref.datasets.dataset import MaskDataset, MaskWriter
from samref.io.atomic import Note, noting_files, write_png
from samref.structures import Refinement, Sample

# Kinds of files that a run may write of an image.
MASKS, CANDIDATES = "masks", "candidates"
_PLAIN = re.compile(r"[\w\-+=][\w.\-+= ]*")
LONGEST_NAME = 100  # bytes; file systems allow 255, and a suffix follows
DEEPEST = 4


class Writer(Callback):
    """Hands each refinement to the data set's own writer."""

    def __init__(
        self, dataset: MaskDataset, masks: Path | None, candidates: Path | None, taken_up: TakenUp | None = None
    ) -> None:
        """Chooses what is written.

        Args:
            dataset: knows the format.
            masks: folder of the refined masks, or None.
            candidates: folder of the candidates, or None.
            taken_up: images that earlier runs have written.
        """
        self.masks: MaskWriter | None = dataset.writer(masks) if masks else None
        self.candidates, self.taken_up = candidates, taken_up or TakenUp()
        self.kept: list[tuple[str | int, Any]] = []
        self.closed: dict[str, Note] = {}

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Writes one image's masks."""
        outcome: Outcome = outputs
        if outcome.refinement is None:
            return
        if self.masks is not None:
            with noting_files() as outcome.files[MASKS]:
                outcome.kept = self.masks.write(batch, outcome.refinement)
            if outcome.kept is not None:
                self.kept.append((batch.image_id, outcome.kept))
        if self.candidates is not None:
            with noting_files() as outcome.files[CANDIDATES]:
                if outcome.refinement.candidates is not None:
                    write_candidates(self.candidates, batch, outcome.refinement)

    on_predict_batch_end = on_test_batch_end

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finishes files that hold many images, in the first process."""
        if self.masks is None:
            return
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            dist.all_gather_object(parts, self.kept)
            self.kept = [entry for part in parts for entry in part]
        if not trainer.is_global_zero:
            return
        for image_id, result in self.taken_up.results():
            self.masks.restore(image_id, result.kept)  # type: ignore[arg-type]  # ids are words or numbers
        for image_id, kept in self.kept:
            self.masks.restore(image_id, kept)
        with noting_files() as self.closed:
            self.masks.close()

    on_predict_end = on_test_end


def write_candidates(folder: Path, sample: Sample, refinement: Refinement) -> None:
    """Writes `IMAGE/OBJECT_K.png` (0/255) for the three candidates K of every mask; slashes of an id make folders."""
    assert refinement.candidates is not None
    place = folder.joinpath(*map(safe_name, str(sample.image_id).split("/", DEEPEST)))
    for name, masks in zip(sample.object_ids, refinement.candidates, strict=True):
        for k, mask in enumerate(masks):
            write_png(place / f"{safe_name(str(name))}_{k}.png", mask.astype(np.uint8) * 255)


def safe_name(name: str) -> str:
    """An id as the name of one file, which no other id has.

    Ids of letters, digits and the usual marks stay as they are; any other, however long and whatever it holds, loses
    what a name may not hold and gets a hash behind it.

    >>> safe_name("object1"), safe_name("..")
    ('object1', '__-8539e5')
    """
    cleaned = re.sub(r"[^\w\-+= ]|^\.+|\.(?=\.)", "_", name) if not _PLAIN.fullmatch(name) else name
    cleaned = cleaned or "_"
    if cleaned == name and len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=3).hexdigest()
    return f"{cleaned.encode('utf-8', 'ignore')[:LONGEST_NAME].decode('utf-8', 'ignore')}-{digest}"
