"""What every pass over the data needs again, kept in memory while there is room."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

from torch import Tensor

Kept = TypeVar("Kept")
BYTES = 1_000_000_000


class Memory(Generic[Kept]):
    """Values by key, up to so many bytes. What is in stays: passes in a random order gain nothing from eviction."""

    def __init__(self, most: int = BYTES) -> None:
        """Starts empty.

        Args:
            most: bytes of the tensors of all values together.
        """
        self.most, self.bytes = most, 0
        self._values: dict[Hashable, Kept] = {}

    def get(self, key: Hashable, make: Callable[[], Kept]) -> Kept:
        """The value of a key, made if it is not in memory; who gets it must not change it."""
        if key in self._values:
            return self._values[key]
        value = make()
        size = _bytes(value)
        if self.bytes + size <= self.most:
            self._values[key] = value
            self.bytes += size
        return value


def _bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.untyped_storage().nbytes()
    if isinstance(value, Mapping):
        return sum(map(_bytes, value.values()))
    return sum(map(_bytes, value)) if isinstance(value, tuple | list) else 0
