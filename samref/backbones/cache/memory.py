"""The last image's embedding in memory, for those who prompt one image again and again."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from samref.backbones.cache.entry import Tensors


class LastEmbedding:
    """A store of one entry: see `samref.backbones.cache.cached_backbone.Store`."""

    def __init__(self) -> None:
        self._entry: tuple[tuple[str, str], Tensors] | None = None

    def read(self, group: str, key: str) -> Tensors | None:
        """The tensors of the last entry if it is this one, else None."""
        return self._entry[1] if self._entry is not None and self._entry[0] == (group, key) else None

    def write(self, group: str, key: str, tensors: Tensors) -> None:
        """Keeps an entry in place of the last one."""
        self._entry = (group, key), tensors

    def encoding(self, key: str) -> AbstractContextManager[None]:
        """Nobody else writes here: nothing is to be waited for."""
        return nullcontext()
