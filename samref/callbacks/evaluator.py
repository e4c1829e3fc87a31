"""Scores every image with its data set's scorer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import nn

from samref.datasets.dataset import MaskDataset
from samref.metrics.scorers import Scores


class Evaluator(Callback):
    """Adds per-mask scores to each outcome under `columns`, and leaves the data set's scores in `scores`."""

    def __init__(self, dataset: MaskDataset, image_ids: Iterable[Any] | None = None) -> None:
        """Prepares the metrics.

        Args:
            dataset: has the scorer.
            image_ids: the images of this run, where it is only a part of the data set.
        """
        self.scorer = dataset.scorer(image_ids)
        self.scores: Scores = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Moves the metrics to the device on which processes exchange them."""
        if isinstance(self.scorer, nn.Module):
            self.scorer.to(pl_module.device)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Scores one image."""
        if self.scorer is not None and outputs["refinement"] is not None:
            outputs["columns"] = self.scorer.update(batch, outputs["refinement"])

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gathers the scores over all processes and hands them to the loggers."""
        if self.scorer is None:
            return
        self.scores = self.scorer.compute()
        flat = {f"{part}/{key}": value for part, values in self.scores.items() for key, value in values.items()}
        for logger in trainer.loggers:
            logger.log_metrics(flat)
