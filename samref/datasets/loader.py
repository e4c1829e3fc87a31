"""Samples read in worker processes, bad files as values; imports no Lightning, which every worker would wait for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
from torch.utils.data import DataLoader, Dataset

from samref.datasets.dataset import MaskDataset
from samref.errors import ConfigError, InputError, WorkerError
from samref.structures import Failure, Idle, Sample

ON_ERROR = ("raise", "skip")


class Samples(Dataset[Sample | Failure]):
    """The first samples of a data set; with `skip`, one that cannot be read comes as a `Failure`."""

    def __init__(self, dataset: MaskDataset, limit: int | None, on_error: str) -> None:
        """Wraps a data set.

        Args:
            dataset: the data set.
            limit: only the first so many images, or None.
            on_error: `raise` or `skip`.
        """
        if on_error not in ON_ERROR:
            raise ConfigError(f"on_error is '{on_error}'; expected {' or '.join(ON_ERROR)}")
        if limit is not None and limit < 1:
            raise ConfigError(f"limit is {limit}; expected at least 1, or null for all images")
        self.dataset, self.skip = dataset, on_error == "skip"
        self.length = len(dataset) if limit is None else min(limit, len(dataset))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample | Failure:
        try:
            return self.dataset[index]
        except InputError as error:
            if not self.skip:
                raise
            return Failure(self.dataset.image_id(index), str(error))


def loader(samples: Samples, indices: Sequence[int], num_workers: int) -> DataLoader[Any]:
    """Reads the samples at `indices`, in that order, one a batch.

    Args:
        samples: the data set.
        indices: which of them; none gives a single `Idle`.
        num_workers: processes that read ahead; 0 reads in this one.

    Returns:
        A loader that raises `InputError` for a file that `samples` does not skip, and `WorkerError` for a dead worker.
    """
    return _Loader(
        _Share(samples, indices),
        batch_size=None,
        num_workers=num_workers,
        collate_fn=as_it_is,
        worker_init_fn=_one_thread,
        # Forked workers inherit locks of OpenCV's and OpenMP's threads and die of them; spawned ones start clean.
        multiprocessing_context="spawn" if num_workers else None,
    )


class _Share(Dataset[Any]):
    """Some of the samples. Errors go on as values: PyTorch makes a page of traceback of one raised in a worker."""

    def __init__(self, samples: Samples, indices: Sequence[int]) -> None:
        self.samples, self.indices = samples, indices

    def __len__(self) -> int:
        # Lightning ends a process without samples before it writes, or meets the others to gather scores.
        return max(1, len(self.indices))

    def __getitem__(self, position: int) -> Sample | Failure | Idle | InputError:
        if not self.indices:
            return Idle()
        try:
            return self.samples[self.indices[position]]
        except InputError as error:
            return error


class _Loader(DataLoader[Any]):
    """Raises, in this process, the errors that `_Share` hands on."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        samples = super().__iter__()
        while True:
            try:
                sample = next(samples)
            except StopIteration:
                return
            except RuntimeError as error:
                if "worker" not in str(error):
                    raise
                # One sentence of PyTorch's page: the system ends workers that want more memory than there is.
                raise WorkerError(
                    f"a process that reads images was ended by the system ({' '.join(str(error).split())[:120]}), most "
                    "likely for want of memory; run the same command again with fewer num_workers, or 0"
                ) from error
            if isinstance(sample, InputError):
                raise sample
            yield sample


def as_it_is(sample: Any) -> Any:
    """A batch of one."""
    return sample


def _one_thread(worker: int) -> None:
    # Workers share out the cores among themselves already.
    cv2.setNumThreads(1)
