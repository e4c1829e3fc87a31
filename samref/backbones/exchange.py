"""Memory that two processes share: what one writes the other sees, without a copy."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping
from multiprocessing import reduction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# Addresses, of which memory is taken where something is written: the largest image, or hundreds of masks.
SIZE = 1 << 31
ALIGNED = 64


class Place(NamedTuple):
    """Where an array lies."""

    start: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def stop(self) -> int:
        """Where it ends."""
        return self.start + int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


class Exchange:
    """The memory; a copy that is sent to a process on its start is the same memory.

    It is no part of `/dev/shm`, which containers keep small.
    """

    def __init__(self) -> None:
        self._open(_anonymous_file())
        os.ftruncate(self._file, SIZE)
        self._memory = mmap.mmap(self._file, SIZE)

    def write(self, parts: Mapping[str, npt.NDArray[Any] | Tensor], start: int = 0) -> dict[str, Place]:
        """Copies arrays, or tensors of any device, into the memory.

        Args:
            parts: by name.
            start: where there is room.

        Returns:
            The place of each.
        """
        places = {}
        for name, part in parts.items():
            tensor = torch.from_numpy(part) if isinstance(part, np.ndarray) else part
            place = Place(-(-start // ALIGNED) * ALIGNED, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
            torch.from_numpy(self.read(place)).copy_(tensor)
            places[name], start = place, place.stop
        return places

    def read(self, place: Place) -> npt.NDArray[Any]:
        """An array that lies in the memory; what is written there later changes it."""
        flat = np.frombuffer(self._memory, place.dtype, int(np.prod(place.shape)), place.start)
        return flat.reshape(place.shape)

    def close(self) -> None:
        """Gives this process's hold on it up."""
        os.close(self._file)

    def __getstate__(self) -> Any:
        return reduction.DupFd(self._file)  # Windows lacks it

    def __setstate__(self, state: Any) -> None:
        self._open(state.detach())
        self._memory = mmap.mmap(self._file, SIZE)

    def _open(self, file: int) -> None:
        self._file = file


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("samref")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
