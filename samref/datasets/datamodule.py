"""One sample a batch, shared out between processes without duplicates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any

from lightning import LightningDataModule
from torch.utils.data import DataLoader

from samref.datasets.loader import Samples, as_it_is, loader


class SampleDataModule(LightningDataModule):
    """Hands samples to Lightning in the data set's order."""

    def __init__(
        self,
        samples: Samples,
        num_workers: int = 0,
        done: Collection[Hashable] = (),
        begin: Callable[[Sequence[int]], Sequence[Any]] | None = None,
    ) -> None:
        """Prepares the loader.

        Args:
            samples: of a data set.
            num_workers: processes that read images ahead; 0 reads in this one.
            done: ids of images that earlier runs have finished; they are left out.
            begin: where other processes refine: is given the indices of the samples, and returns what stands for each
                of them; nothing is read here then.
        """
        super().__init__()
        self.done = frozenset(done)
        self.samples = samples
        self.num_workers, self.begin = num_workers, begin

    @property
    def limited_ids(self) -> list[str | int] | None:
        """Ids of the samples where `limit` cuts the data set short, else None."""
        dataset = self.samples.dataset
        cut = len(self.samples) < len(dataset)
        return [dataset.image_id(index) for index in range(len(self.samples))] if cut else None

    def test_dataloader(self) -> DataLoader[Any]:
        """This process's share: every world-size-th sample, each exactly once over all processes."""
        rank, count, done = 0, 1, self.done
        if self.trainer:
            rank, count = self.trainer.global_rank, self.trainer.world_size
            # The first process alone knows the results of earlier runs.
            done = self.trainer.strategy.broadcast(done)
        todo = [index for index in range(len(self.samples)) if self.samples.dataset.image_id(index) not in done]
        share = todo[rank::count]
        if self.begin is not None and share:
            return DataLoader(list(self.begin(share)), batch_size=None, collate_fn=as_it_is)  # type: ignore[arg-type]
        return loader(self.samples, share, self.num_workers)

    predict_dataloader = test_dataloader
