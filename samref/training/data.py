"""Batches for training: a stream that is a function of seed, step and process alone, so that a resumed run goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from samref.datasets.datamodule import SampleDataModule
from samref.datasets.loader import Samples
from samref.errors import DatasetError, InputError
from samref.structures import Failure, Sample
from samref.training.augmentation import Augmentation
from samref.training.kept import Memory
from samref.training.targets import Classes, target_of

Batch = tuple[list[Tensor], list[Any]]
PRIME = 1_000_003


class Draws(Sampler[list[tuple[int, int]]]):
    """Batches of (place, draw): passes over the samples in new orders, from a step on until the last.

    A draw is the number of an image in the whole stream; its augmentation is seeded by it.
    """

    def __init__(self, count: int, seed: int, batch: int, steps: range, rank: int = 0, processes: int = 1) -> None:
        """Prepares the stream.

        Args:
            count: samples.
            seed: of their order.
            batch: images a step, of this process.
            steps: optimizer steps that are to be done.
            rank: of this process.
            processes: which share the stream.
        """
        self.count, self.seed, self.batch, self.steps = count, seed, batch, steps
        self.rank, self.processes = rank, processes

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order: tuple[int, list[int]] = (-1, [])
        for step in self.steps:
            first = (step * self.processes + self.rank) * self.batch
            drawn = []
            for draw in range(first, first + self.batch):
                turn, place = divmod(draw, self.count)
                if turn != order[0]:
                    generator = torch.Generator().manual_seed(self.seed * PRIME + turn)
                    order = turn, torch.randperm(self.count, generator=generator).tolist()
                drawn.append((order[1][place], draw))
            yield drawn


class TrainingImages(Dataset[Any]):
    """Images with augmented targets, by (place, draw)."""

    def __init__(
        self, places: Sequence[tuple[Samples, int]], classes: Classes, augmentation: Augmentation, seed: int
    ) -> None:
        """Joins samples of one or several data sets.

        Args:
            places: each sample, as its data set's samples and its index among them.
            classes: that the network knows.
            augmentation: of every draw.
            seed: of the augmentation.

        Raises:
            DatasetError: where there is nothing to train on.
        """
        if not places:
            raise DatasetError("there is no image to train on; choose another dataset.split, or other masks")
        self.places, self.classes, self.augmentation, self.seed = places, classes, augmentation, seed
        self._memory: Memory[tuple[Tensor, Any]] = Memory()

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, drawn: tuple[int, int]) -> tuple[Tensor, Any] | InputError:
        """An image and its target; what is wrong with its files as a value, which worker processes hand on whole."""
        place, draw = drawn
        try:
            # Processes that read ahead would keep the same images each.
            read = self._read(place) if get_worker_info() else self._memory.get(place, lambda: self._read(place))
        except InputError as error:
            return error
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((self.seed * PRIME + draw) % 2**63)
            return self.augmentation(*read)

    def _read(self, place: int) -> tuple[Tensor, Any]:
        sample = self._sample(place)
        image = torch.from_numpy(np.ascontiguousarray(sample.image.transpose(2, 0, 1)))
        return image, target_of(sample, self.classes)

    def _sample(self, place: int) -> Sample:
        """The sample of a place, or with `on_error=skip` the next one that can be read."""
        for number in range(place, place + len(self.places)):
            samples, index = self.places[number % len(self.places)]
            sample = samples[index]
            if isinstance(sample, Sample):
                return sample
        assert isinstance(sample, Failure)
        raise InputError(f"none of the images for training can be read; the last: {sample.reason}")


class TrainingDataModule(LightningDataModule):
    """Hands batches to the fit, and the samples of the split with ground truth to the test."""

    def __init__(
        self, images: TrainingImages, validation: Samples, batch: int, steps: int, seed: int, num_workers: int
    ) -> None:
        """Prepares the loaders.

        Args:
            images: to train on.
            validation: to score on.
            batch: images a step, over all processes.
            steps: of the optimizer.
            seed: of the order of images.
            num_workers: processes that read ahead.
        """
        super().__init__()
        self.images, self.batch, self.steps, self.seed, self.num_workers = images, batch, steps, seed, num_workers
        self.scored = SampleDataModule(validation, num_workers)

    def train_dataloader(self) -> DataLoader[Any]:
        """This process's batches, from the step that a resumed fit goes on from."""
        assert self.trainer is not None
        processes = self.trainer.world_size
        draws = Draws(
            len(self.images),
            self.seed,
            max(1, self.batch // processes),
            range(self.trainer.global_step, self.steps),
            self.trainer.global_rank,
            processes,
        )
        return DataLoader(
            self.images,
            batch_sampler=draws,
            collate_fn=collated,
            num_workers=self.num_workers,
            multiprocessing_context="spawn" if self.num_workers else None,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        """This process's share of the samples with ground truth."""
        self.scored.trainer = self.trainer
        return self.scored.test_dataloader()

    test_dataloader = val_dataloader


def collated(drawn: Sequence[tuple[Tensor, Any] | InputError]) -> Batch | InputError:
    """A batch of images of any sizes, or what is wrong with one of them."""
    images, targets = [], []
    for one in drawn:
        if isinstance(one, InputError):
            return one
        images.append(one[0])
        targets.append(one[1])
    return images, targets
