"""TrainingModule: the one LightningModule of training. fit = train a network on masks, test = score it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor

from samref.errors import InputError
from samref.structures import Failure, Idle, Sample
from samref.training.data import PRIME, Batch
from samref.training.networks.network import Network
from samref.training.schedule import Schedule
from samref.training.scoring import NetworkScorer


class TrainingModule(LightningModule):
    """Trains a network on batches of images and targets, and scores it on samples with ground truth.

    Attributes:
        history: mean loss of each hundredth of the fit, in order; part of its checkpoints.
    """

    def __init__(self, network: Network, schedule: Schedule, scorer: NetworkScorer, steps: int, seed: int) -> None:
        """Joins the parts.

        Args:
            network: to train.
            schedule: how.
            scorer: of its predictions.
            steps: of the optimizer.
            seed: of what is drawn inside the network: dropout, sampled boxes.
        """
        super().__init__()
        self.network, self.schedule, self.scorer, self.steps, self.seed = network, schedule, scorer, steps, seed
        self.history: list[float] = []
        self.metrics: dict[str, float] = {}
        self._sum: list[float] = []
        # Checkpoints leave out what came frozen from elsewhere.
        self.strict_loading = False

    def cpu(self) -> TrainingModule:
        """Stays: Lightning moves what it has run to the processor, but a test follows, and others use the backbone."""
        return self

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Moves images and targets; samples to score stay where they are."""
        if isinstance(batch, tuple):
            return super().transfer_batch_to_device(batch, device, dataloader_idx)
        return batch

    def on_train_batch_start(self, batch: Batch | InputError, batch_idx: int) -> None:
        """Seeds what the step draws, by its number: a resumed fit draws what the killed one would have drawn."""
        if isinstance(batch, InputError):
            raise batch
        torch.manual_seed((self.seed * PRIME + self.global_step) * 64 + self.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The sum of the network's losses."""
        losses = self.network.losses(*batch)
        total = torch.stack(list(losses.values())).sum()
        loss = float(total.detach())
        if not math.isfinite(loss):
            raise InputError(
                f"the loss is {loss} at step {self.global_step}; lower schedule.lr or lengthen schedule.warmup"
            )
        size = len(batch[0])
        self.log_dict({f"train/{name}": value.detach() for name, value in losses.items()}, batch_size=size)
        self.log("train/loss", loss, batch_size=size)
        self._note(loss)
        return total

    def configure_optimizers(self) -> Any:
        """As the schedule says."""
        return self.schedule.optimizers(self.network, self.steps)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps what is trained, and the losses so far."""
        kept = {f"network.{name}" for name in self.network.kept()}
        checkpoint["state_dict"] = {key: value for key, value in checkpoint["state_dict"].items() if key in kept}
        checkpoint["history"] = [list(self.history), list(self._sum)]

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Takes up the losses so far."""
        self.history, self._sum = (list(part) for part in checkpoint["history"])

    def test_step(self, batch: Sample | Failure | Idle, batch_idx: int) -> None:
        """Scores what the network finds in one image."""
        if isinstance(batch, Sample):
            image = torch.from_numpy(batch.image.transpose(2, 0, 1).copy()).to(self.device)
            self.scorer.update(self.network, image, batch)

    validation_step = test_step

    def on_test_epoch_end(self) -> None:
        """Computes the scores, over all processes."""
        self.metrics = self.scorer.compute()
        self.log_dict({f"val/{name}": value for name, value in self.metrics.items()}, sync_dist=False)
        self.scorer.reset()

    on_validation_epoch_end = on_test_epoch_end

    def _note(self, loss: float) -> None:
        self._sum.append(loss)
        if len(self._sum) >= max(1, self.steps // 100):
            self.history.append(sum(self._sum) / len(self._sum))
            self._sum = []
