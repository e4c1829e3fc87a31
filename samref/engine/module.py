"""RefinementModule: the one LightningModule. test = refine and score, predict = refine, fit = adapt the IoU head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from samref.adaption.iou_lora import IouLora
from samref.adaption.lora import get_adapter_params
from samref.adaption.ranking_loss import ranking_loss
from samref.adaption.training_data import TrainingTargets
from samref.callbacks.outcome import Outcome
from samref.refiners.guard import Guard
from samref.refiners.samrefiner import Refiner, SAMRefiner
from samref.structures import Failure, Idle, Refinement, Sample


class RefinementModule(LightningModule):
    """Runs a refiner over a data set; callbacks score, write and report what comes out."""

    def __init__(
        self,
        refiner: Refiner,
        keep_candidates: bool = False,
        keep_logits: bool = False,
        guard: Guard | None = None,
        settle: Callable[[Sample, Refinement], None] | None = None,
    ) -> None:
        """Wraps a refiner.

        Args:
            refiner: what refines.
            keep_candidates: whether callbacks need SAM's three candidates.
            keep_logits: whether callbacks need full-resolution logits (semantic merging).
            guard: gives coarse masks back where their refinement is implausible, or None.
            settle: makes masks those that the data set's format can hold, or None.
        """
        super().__init__()
        self.refiner = refiner
        self.keep_candidates = keep_candidates
        self.keep_logits = keep_logits
        self.guard = guard
        self.settle = settle
        if guard is not None and guard.needs_candidates() and isinstance(refiner, SAMRefiner):
            refiner.keep_coarse_iou = True
        # Registered so that each process of a run has it on its own device; the refiner uses the same object.
        backbone = getattr(refiner, "backbone", None) or getattr(refiner, "network", None)
        self.backbone = backbone if isinstance(backbone, nn.Module) else None
        self.adaption: IouLora | None = None
        self.targets: TrainingTargets | None = None
        # Checkpoints of a fit hold the adaptor alone; the frozen model comes from its own file.
        self.strict_loading = False

    def cpu(self) -> RefinementModule:
        """Stays: Lightning moves what it has run to the processor, but others go on using the backbone where it is."""
        return self

    def prepare_fit(self, adaption: IouLora, targets: TrainingTargets) -> None:
        """Takes what `fit` trains on, and how."""
        self.adaption, self.targets = adaption, targets

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Ranking loss of some masks, given by their indices among the targets."""
        assert self.adaption is not None
        assert self.targets is not None
        loss = ranking_loss(*self.targets(batch), self.adaption.margin)
        self.log("adaption/loss", loss, on_step=True, on_epoch=True, batch_size=len(batch))
        return loss

    def configure_optimizers(self) -> Any:
        """SGD over the adaptor's parameters."""
        assert self.adaption is not None
        return self.adaption.optimizers(self.refiner.backbone)  # type: ignore[attr-defined]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the adaptor's parameters and nothing else of the model."""
        names = set(get_adapter_params(self))
        checkpoint["state_dict"] = {key: value for key, value in checkpoint["state_dict"].items() if key in names}

    def transfer_batch_to_device(
        self, batch: Sample | Failure | Idle, device: torch.device, dataloader_idx: int
    ) -> Sample | Failure | Idle:
        """Leaves images and masks where they are: the refiner moves what the model needs, mask by mask."""
        return batch

    def test_step(  # type: ignore[override]  # Lightning hands on to callbacks whatever comes out
        self, batch: Sample | Failure | Idle, batch_idx: int
    ) -> Outcome:
        """Refines one image; callbacks add to the outcome what they find out."""
        return Outcome(self._refine(batch))

    def predict_step(self, batch: Sample | Failure | Idle, batch_idx: int) -> Outcome:
        """As `test_step`; data sets without ground truth come here."""
        return Outcome(self._refine(batch))

    def _refine(self, batch: Sample | Failure | Idle) -> Refinement | None:
        if isinstance(batch, (Failure, Idle)):
            return None
        refinement = self.refiner.refine_sample(
            batch, keep_candidates=self.keep_candidates, keep_logits=self.keep_logits
        )
        refinement = refinement if self.guard is None else self.guard(batch.masks, refinement)
        if self.settle is not None:
            self.settle(batch, refinement)
        return refinement
