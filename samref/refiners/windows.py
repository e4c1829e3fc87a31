"""Windows of an image that a network looks through one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torchvision.ops import nms

Item = TypeVar("Item")


class Window(NamedTuple):
    """A box of an image in image px, ends exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


def thinned(windows: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression that is the same everywhere: of equal scores the first wins.

    Args:
        windows: K x 4 float32 (x0, y0, x1, y1), ends exclusive.
        scores: K.
        iou_threshold: IoU with a better window above which one is left out.

    Returns:
        The places of those that stay, best first.
    """
    order = torch.sort(scores.cpu(), descending=True, stable=True).indices
    return order[nms(windows.cpu().float()[order], scores.cpu().float()[order], iou_threshold)]


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Items in groups of a size at most, in order.

    >>> [list(chunk) for chunk in chunks(range(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    yield from (items[start : start + size] for start in range(0, len(items), size))
