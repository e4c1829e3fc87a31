"""Which cells of SOLOv2's grids are to find which object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

CENTER = 0.2  # share of an object's box, around its center of mass, whose cells find it


class Cells(NamedTuple):
    """What the cells of one grid are to find in one image.

    Attributes:
        labels: S x S int64, 0 where nothing is.
        places: M int64, flat indices of the cells that find something.
        objects: M int64, which object each of them finds.
    """

    labels: Tensor
    places: Tensor
    objects: Tensor


def assign_cells(
    target: dict[str, Tensor], size: tuple[int, int], grids: Sequence[int], ranges: Sequence[Sequence[float]]
) -> list[Cells]:
    """The cells of each grid by the objects of an image.

    An object goes to the grids in whose range the root of its box's area lies; of the cells, to those within a fifth of
    its box around its center of mass, at most one cell around the center's.

    Args:
        target: `boxes`, `labels`, `masks` of n objects, image px.
        size: (H, W) that the grids cover.
        grids: cells along a side of each grid.
        ranges: smallest and largest size of each grid's objects, in px.

    Returns:
        One a grid; where objects share a cell, the last has it.
    """
    boxes, masks = target["boxes"], target["masks"]
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0)
    scales = sides.prod(dim=1).sqrt()
    centers = _centers(masks)
    found = []
    for grid, (smallest, largest) in zip(grids, ranges, strict=True):
        labels = torch.zeros(grid, grid, dtype=torch.int64, device=boxes.device)
        owners = torch.full((grid, grid), -1, dtype=torch.int64, device=boxes.device)
        for row in range(len(boxes)):
            if not (smallest <= scales[row] <= largest) or masks[row].sum() < 1:
                continue
            x, y = centers[row].tolist()
            half_width, half_height = (0.5 * CENTER * sides[row]).tolist()
            rows = _span(y, half_height, size[0], grid)
            columns = _span(x, half_width, size[1], grid)
            labels[rows, columns] = target["labels"][row]
            owners[rows, columns] = row
        places = torch.nonzero(owners.flatten() >= 0).squeeze(1)
        found.append(Cells(labels, places, owners.flatten()[places]))
    return found


def _span(center: float, half: float, length: int, grid: int) -> slice:
    """Cells along one axis, at most one beyond the center's."""
    middle = _cell(center, length, grid)
    first, last = _cell(center - half, length, grid), _cell(center + half, length, grid)
    return slice(max(first, middle - 1), min(last, middle + 1) + 1)


def _cell(position: float, length: int, grid: int) -> int:
    return min(grid - 1, max(0, math.floor(position / length * grid)))


def _centers(masks: Tensor) -> Tensor:
    """N x 2 centers of mass (x, y) of n x H x W masks, px."""
    weights = masks.float()
    height, width = masks.shape[-2:]
    total = weights.sum(dim=(1, 2)).clamp(min=1)
    x = (weights.sum(dim=1) * (torch.arange(width, device=masks.device) + 0.5)).sum(dim=1) / total
    y = (weights.sum(dim=2) * (torch.arange(height, device=masks.device) + 0.5)).sum(dim=1) / total
    return torch.stack([x, y], dim=1)
