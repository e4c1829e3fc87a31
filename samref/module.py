"""RefinementModule: the one LightningModule. test = refine and score, predict = refine."""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningModule
from torch import nn

from samref.refiner import Refiner
from samref.structures import Failure, Refinement, Sample

Outcome = dict[str, Any]


class RefinementModule(LightningModule):
    """Runs a refiner over a data set; callbacks score, write and report what comes out."""

    def __init__(self, refiner: Refiner, keep_candidates: bool = False, keep_logits: bool = False) -> None:
        """Wraps a refiner.

        Args:
            refiner: what refines.
            keep_candidates: whether callbacks need SAM's three candidates.
            keep_logits: whether callbacks need full-resolution logits (semantic merging).
        """
        super().__init__()
        self.refiner = refiner
        self.keep_candidates = keep_candidates
        self.keep_logits = keep_logits
        # Registered so that Lightning moves it to the device; the refiner uses the same object.
        backbone = getattr(refiner, "backbone", None)
        self.backbone = backbone if isinstance(backbone, nn.Module) else None

    def transfer_batch_to_device(
        self, batch: Sample | Failure, device: torch.device, dataloader_idx: int
    ) -> Sample | Failure:
        """Leaves images and masks where they are: the refiner moves what the model needs, mask by mask."""
        return batch

    def test_step(self, batch: Sample | Failure, batch_idx: int) -> Outcome:
        """Refines one image. Returns `{"refinement": Refinement | None}`, to which callbacks add their columns."""
        return {"refinement": self._refine(batch)}

    def predict_step(self, batch: Sample | Failure, batch_idx: int) -> Outcome:
        """As `test_step`; data sets without ground truth come here."""
        return {"refinement": self._refine(batch)}

    def _refine(self, batch: Sample | Failure) -> Refinement | None:
        if isinstance(batch, Failure):
            return None
        return self.refiner.refine_sample(
            batch, keep_candidates=self.keep_candidates, keep_logits=self.keep_logits
        )
