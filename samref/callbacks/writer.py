"""Writes refined masks, and on demand the three candidates, while the run goes on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer

from samref.datasets.dataset import MaskDataset, MaskWriter
from samref.files import Note, noting_files, write_png
from samref.structures import Refinement, Sample


class Writer(Callback):
    """Hands each refinement to the data set's own writer."""

    def __init__(self, dataset: MaskDataset, masks: Path | None, candidates: Path | None) -> None:
        """Chooses what is written.

        Args:
            dataset: knows the format.
            masks: folder of the refined masks, or None.
            candidates: folder of the candidates, or None.
        """
        self.masks: MaskWriter | None = dataset.writer(masks) if masks else None
        self.candidates = candidates
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
        refinement: Refinement | None = outputs["refinement"]
        if refinement is None:
            return
        if self.masks is not None:
            with noting_files() as outputs["files"]:
                self.masks.write(batch, refinement)
        if self.candidates is not None and refinement.candidates is not None:
            write_candidates(self.candidates, batch, refinement)

    on_predict_batch_end = on_test_batch_end

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finishes files that hold many images."""
        if self.masks is not None:
            with noting_files() as self.closed:
                self.masks.close()

    on_predict_end = on_test_end


def write_candidates(folder: Path, sample: Sample, refinement: Refinement) -> None:
    """Writes `IMAGE/OBJECT_K.png` (0/255) for the three candidates K of every mask."""
    assert refinement.candidates is not None
    for name, masks in zip(sample.object_ids, refinement.candidates, strict=True):
        for k, mask in enumerate(masks):
            path = folder / safe_name(str(sample.image_id)) / f"{safe_name(str(name))}_{k}.png"
            write_png(path, mask.astype(np.uint8) * 255)


def safe_name(name: str) -> str:
    """An id as one file name: separators become `_`, so that no id leads out of the folder.

    >>> safe_name("../camel/00005")
    '.._camel_00005'
    """
    cleaned = re.sub(r"[^\w.\-+= ]", "_", name)
    return cleaned if cleaned.strip(".") else "_" + cleaned
