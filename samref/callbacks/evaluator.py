"""Scores every image with its data set's scorer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import nn

from samref.callbacks.outcome import Outcome
from samref.callbacks.steps import Measure
from samref.callbacks.taken_up import TakenUp
from samref.datasets.dataset import MaskDataset
from samref.metrics.scorers import Scores


class Evaluator(Callback):
    """Adds up what was measured of each image, and leaves the data set's scores in `scores`."""

    def __init__(
        self, dataset: MaskDataset, image_ids: Iterable[Any] | None = None, taken_up: TakenUp | None = None
    ) -> None:
        """Prepares the metrics.

        Args:
            dataset: has the scorer.
            image_ids: the images of this run, where it is only a part of the data set.
            taken_up: images that earlier runs have measured.
        """
        self.scorer = dataset.scorer(image_ids)
        self.image_step = None if self.scorer is None else Measure(self.scorer)
        self.taken_up = taken_up or TakenUp()
        self.scores: Scores = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Moves the metrics to the device on which processes exchange them."""
        if isinstance(self.scorer, nn.Module):
            self.scorer.to(pl_module.device)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Adds what was measured of one image."""
        outcome: Outcome = outputs
        if self.scorer is not None and outcome.measured is not None:
            self.scorer.add(outcome.measured.counts)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gathers the scores over all processes and hands them to the loggers."""
        if self.scorer is None:
            return
        for _, result in self.taken_up.results():
            self.scorer.add(result.counts)
        self.scores = self.scorer.compute()
        flat = {f"{part}/{key}": value for part, values in self.scores.items() for key, value in values.items()}
        for logger in trainer.loggers:
            logger.log_metrics(flat)
