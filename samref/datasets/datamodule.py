"""One sample a batch, shared out between processes without duplicates."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any

from lightning import LightningDataModule
from torch.utils.data import DataLoader

from samref.datasets.dataset import MaskDataset
from samref.datasets.loader import Samples, loader


class SampleDataModule(LightningDataModule):
    """Hands samples to Lightning in the data set's order."""

    def __init__(
        self,
        dataset: MaskDataset,
        num_workers: int = 0,
        limit: int | None = None,
        on_error: str = "raise",
        done: Collection[Hashable] = (),
    ) -> None:
        """Prepares the loader.

        Args:
            dataset: the data set.
            num_workers: processes that read images ahead; 0 reads in this one.
            limit: only the first so many images, or None.
            on_error: `raise` or `skip`: what an unreadable file does to the run.
            done: ids of images that an interrupted run has finished; they are left out.
        """
        super().__init__()
        self.done = frozenset(done)
        self.samples = Samples(dataset, limit, on_error)
        self.num_workers = num_workers

    @property
    def limited_ids(self) -> list[str | int] | None:
        """Ids of the samples where `limit` cuts the data set short, else None."""
        dataset = self.samples.dataset
        cut = len(self.samples) < len(dataset)
        return [dataset.image_id(index) for index in range(len(self.samples))] if cut else None

    def test_dataloader(self) -> DataLoader[Any]:
        """This process's share: every world-size-th sample, each exactly once over all processes."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        todo = [index for index in range(len(self.samples)) if self.samples.dataset.image_id(index) not in self.done]
        return loader(self.samples, todo[rank::world], self.num_workers)

    predict_dataloader = test_dataloader
