"""RefinementModule: the one LightningModule. test = refine and score, predict = refine, fit = adapt the IoU head."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from samref.adaption.iou_lora import IouLora
from samref.adaption.lora import get_adapter_params
from samref.adaption.ranking_loss import ranking_loss
from samref.adaption.training_data import TrainingTargets
from samref.callbacks.outcome import Outcome, Step
from samref.datasets.datamodule import SampleDataModule
from samref.engine.work import Work
from samref.engine.workers import Ticket, Workers
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
        steps: Sequence[Step] = (),
    ) -> None:
        """Wraps a refiner.

        Args:
            refiner: what refines.
            keep_candidates: whether callbacks need SAM's three candidates.
            keep_logits: whether callbacks need full-resolution logits (semantic merging).
            guard: gives coarse masks back where their refinement is implausible, or None.
            settle: makes masks those that the data set's format can hold, or None.
            steps: of the callbacks.
        """
        super().__init__()
        self.refiner = refiner
        self.work = Work(refiner, keep_candidates, keep_logits, guard, settle, steps)
        # Set where images are refined in other processes, with the model that is here.
        self.workers: Workers | None = None
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
        self, batch: Sample | Failure | Idle | Ticket, device: torch.device, dataloader_idx: int
    ) -> Sample | Failure | Idle | Ticket:
        """Leaves images and masks where they are: the refiner moves what the model needs, mask by mask."""
        return batch

    def test_step(  # type: ignore[override]  # Lightning hands on to callbacks whatever comes out
        self, batch: Sample | Failure | Idle | Ticket, batch_idx: int
    ) -> Outcome:
        """Refines one image, here or with a worker that requests what the model makes of it."""
        if isinstance(batch, Ticket):
            assert self.workers is not None
            return self.workers.outcome(batch)
        return self.work(batch)

    predict_step = test_step  # data sets without ground truth come here


@contextmanager
def refining(module: RefinementModule, data: SampleDataModule) -> Iterator[None]:
    """Has images refined in as many processes as the data module reads in, for as long as the block lasts.

    Refiners with networks of their own, which every process would have to load, refine in this one: the others read.
    So it is on Windows, which cannot hand memory on to a process.
    """
    if not data.num_workers or not isinstance(module.refiner, SAMRefiner) or os.name != "posix":
        yield
        return
    with closing(Workers(data.num_workers, module.work, data.samples)) as workers:
        module.workers, data.begin = workers, workers.begin
        yield
