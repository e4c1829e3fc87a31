"""From attended image cells to masks on the logit grid: transposed convolutions as products over channels-last cells.

A transposed convolution with stride 2 and a 2 x 2 kernel sends each cell to its own four: a matrix product. Done twice,
the sixteen parts of a cell lie together ("nested"); only what is finally wanted is put in raster order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Upscaling:
    """SAM's `output_upscaling`, its weights arranged for products over channels-last cells."""

    def __init__(self, layers: nn.Sequential) -> None:
        """Rearranges the weights of: transposed convolution, norm, activation, transposed convolution, activation."""
        first, self.norm, self.first_activation, second, self.second_activation = layers
        self.first, self.second = _product(first), _product(second)

    def __call__(self, cells: Tensor, finer: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Upscales the cells of B masks.

        Args:
            cells: B x P x C.
            finer: maps of the image to add after either convolution: 16 P x C' and 4 P x C'', nested.

        Returns:
            B x 16 P x C', nested.
        """
        batch, count = cells.shape[:2]
        norm: Any = self.norm
        parts = F.linear(cells, *self.first).view(batch, 4 * count, -1)
        if finer is not None:
            parts += finer[1]
        parts = self.first_activation(F.layer_norm(parts, norm.weight.shape, norm.weight, norm.bias, norm.eps))
        quarters = F.linear(parts, *self.second).view(batch, 16 * count, -1)
        if finer is not None:
            quarters += finer[0]
        upscaled: Tensor = self.second_activation(quarters)
        return upscaled


class Hypernetworks:
    """Networks of one shape run together: token i goes through network i."""

    def __init__(self, networks: Iterable[Any]) -> None:
        """Stacks the layers of the networks."""
        stacks = zip(*(network.layers for network in networks), strict=True)
        self.layers = [
            (torch.stack([layer.weight.t() for layer in stack]), torch.stack([layer.bias for layer in stack])[:, None])
            for stack in stacks
        ]

    def __call__(self, tokens: Tensor) -> Tensor:
        """B x K x C tokens -> B x K x C'."""
        values = tokens.transpose(0, 1)
        for index, (weight, bias) in enumerate(self.layers):
            values = torch.baddbmm(bias, values.relu() if index else values, weight)
        return values.transpose(0, 1)


def raster(nested: Tensor, width: int) -> Tensor:
    """B x K x 16 h w values of nested parts -> B x K x 4 h x 4 w, `width` being w. K x ... float32."""
    batch, count = nested.shape[:2]
    # The innermost axis goes along in pairs: two float32 move as one int64.
    pairs = nested.contiguous().view(torch.int64).view(batch, count, -1, width, 2, 2, 2)
    ordered = pairs.permute(0, 1, 2, 4, 6, 3, 5).reshape(batch, count, -1, 2 * width)
    return ordered.view(torch.float32)


def nest(image: Tensor, times: int) -> Tensor:
    """Arranges a map as `Upscaling` leaves its parts.

    Args:
        image: 1 x C x H x W.
        times: how often the cells' grid was doubled, 1 or 2.

    Returns:
        h x w x 4^times x C of the cells' grid.
    """
    side = 2**times
    _, channels, height, width = image.shape
    rows, columns = height // side, width // side
    halves = image.view(channels, rows, *[2] * times, columns, *[2] * times)
    # Row and column of each doubling go together, the first doubling first.
    pairs = [axis for step in range(times) for axis in (2 + step, 3 + times + step)]
    return halves.permute(1, 2 + times, *pairs, 0).reshape(rows, columns, side * side, channels)


def _product(convolution: Any) -> tuple[Tensor, Tensor]:
    """Weight (4 C') x C and bias 4 C' of a transposed convolution whose kernel and stride are 2."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)
    return weight.contiguous(), convolution.bias.repeat(4)
