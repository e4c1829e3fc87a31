"""CRM's implicit function: a logit for every pixel of an image from features on a coarser grid (local ensemble)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from samref.refiners.crm.network import CHANNELS, Decoder

# Pixels computed at once.
QUERIES = 1 << 17
EPSILON = 1e-6
SMALLEST_AREA = 1e-9
SIDES = (-1, 1)


class Neighbors(NamedTuple):
    """Along one side of an image, the features on one side of each pixel.

    Attributes:
        place: n int64, of the features.
        distance: n float32, of the pixel from the feature's center, in features.
    """

    place: Tensor
    distance: Tensor


def project(bands: Iterable[Tensor], layer: nn.Linear) -> Tensor:
    """What the first layer makes of features, before it knows where a pixel is.

    A layer is linear: computed once a feature and not once a pixel, this costs a fraction, and 32 channels are kept
    in place of 256.

    Args:
        bands: 1 x 256 x rows x w, from the top.
        layer: 262 to 32.

    Returns:
        h x w x 32.
    """
    weight = layer.weight[:, :CHANNELS]
    return torch.cat([(band[0].permute(1, 2, 0) @ weight.T).float() for band in bands]) + layer.bias


def query(features: Tensor, decoder: Decoder, size: tuple[int, int]) -> Tensor:
    """Logits of all pixels.

    Args:
        features: h x w x 32, see `project`.
        decoder: whose first layer made them.
        size: (H, W) of the image.

    Returns:
        H x W float32.
    """
    rest = decoder.layers[1:]
    rows, columns = (
        [neighbors(length, cells, side, features.device) for side in SIDES]
        for length, cells in zip(size, features.shape[:2], strict=True)
    )
    # Relative y and x, y and x in the image, height and width of a pixel: each moves the first layer on its own.
    by_y, by_x, at_y, at_x, tall, wide = decoder.first.weight[:, CHANNELS:].T
    y, x = (centers(length, features.device)[:, None] for length in size)
    cell = tall * (2 * features.shape[0] / size[0]) + wide * (2 * features.shape[1] / size[1])
    row_parts = [side.distance[:, None] * by_y + y * at_y + cell for side in rows]
    column_parts = [side.distance[:, None] * by_x + x * at_x for side in columns]
    logits = torch.empty(size, device=features.device)
    step = max(1, QUERIES // size[1])
    for start in range(0, size[0], step):
        part = slice(start, start + step)
        values, areas = [], []
        for above, row_part in zip(rows, row_parts, strict=True):
            band = features[above.place[part]]
            for beside, column_part in zip(columns, column_parts, strict=True):
                hidden = band[:, beside.place].add_(row_part[part, None]).add_(column_part)
                values.append(rest(hidden)[..., 0])
                areas.append((above.distance[part, None] * beside.distance).abs() + SMALLEST_AREA)
        # The nearer a pixel is to a feature, the larger the area it spans with the opposite one.
        weighted = sum(value * area for value, area in zip(values, reversed(areas), strict=True))
        logits[part] = weighted / sum(areas)
    return logits


def centers(count: int, device: torch.device | None = None) -> Tensor:
    """Centers of so many cells in [-1, 1]: float32.

    >>> centers(4)
    tensor([-0.7500, -0.2500,  0.2500,  0.7500])
    """
    return -1 + (2 * torch.arange(count, dtype=torch.float32, device=device) + 1) / count


def neighbors(length: int, cells: int, side: int, device: torch.device | None = None) -> Neighbors:
    """The features before (-1) or behind (1) each pixel along a side of an image.

    Args:
        length: pixels along the side.
        cells: features along it.
        side: -1 or 1.
        device: of the result.
    """
    pixels = centers(length, device)
    shifted = (pixels + (side / cells + EPSILON)).clamp(-1 + EPSILON, 1 - EPSILON)
    # As nearest sampling finds them where corners are not aligned.
    index = (((shifted + 1) * cells - 1) / 2).round().long().clamp(0, cells - 1)
    return Neighbors(index, (pixels - centers(cells, device)[index]) * cells)
