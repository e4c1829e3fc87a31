"""Refined masks, and on demand the three candidates, written while the run goes on; files of many images at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning import Callback, LightningModule, Trainer

from samref.callbacks.announced import Announced
from samref.callbacks.outcome import Outcome
from samref.callbacks.steps import Write
from samref.callbacks.taken_up import TakenUp
from samref.datasets.dataset import MaskDataset, MaskWriter
from samref.io.atomic import Note, noting_files


class Writer(Callback):
    """Hands each refinement to the data set's own writer."""

    def __init__(
        self,
        dataset: MaskDataset,
        masks: Path | None,
        candidates: Path | None,
        taken_up: TakenUp | None = None,
        announce: Announced | None = None,
    ) -> None:
        """Chooses what is written.

        Args:
            dataset: knows the format.
            masks: folder of the refined masks, or None.
            candidates: folder of the candidates, or None.
            taken_up: images that earlier runs have written.
            announce: is called with the files of an image before they appear.
        """
        self.masks: MaskWriter | None = dataset.writer(masks) if masks else None
        self.image_step, self.taken_up = Write(self.masks, candidates, announce), taken_up or TakenUp()
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
        """Hands on what the format needs at the end; the masks are written already."""
        outcome: Outcome = outputs
        if self.masks is None or outcome.kept is None:
            return
        if not trainer.is_global_zero:
            self.kept.append((batch.image_id, outcome.kept))
        elif outcome.refinement is None:
            # It was written in a worker process, by a copy of the writer.
            self.masks.restore(batch.image_id, outcome.kept)

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
        for image_id, kept in self.kept:
            self.masks.restore(image_id, kept)
        for taken_up, result in self.taken_up.results():
            self.masks.restore(taken_up, result.kept)  # type: ignore[arg-type]  # ids are words or numbers
        with noting_files() as self.closed:
            self.masks.close()

    on_predict_end = on_test_end
