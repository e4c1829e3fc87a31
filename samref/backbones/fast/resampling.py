"""PIL's antialiased bilinear filter on any device: beside an accelerator, resizing is what takes longest.

PIL weighs pixels with integers of 22 fractional bits, first along rows, then along columns, and rounds to 8 bits after
each pass. The same sums are taken here by looking up the few pixels that each new one is made of: pixels are equal to
the bit. Pillow 13 and later begin with the columns where that takes less time, which only happens where an image gets
smaller, and changes some of its pixels by one.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FRACTION_BITS = 22
# Sizes whose weights are kept: images of a data set often have one of a few.
KEPT = 64


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes an image as `PIL.Image.resize` does with `Resampling.BILINEAR`, along rows first.

    Args:
        image: H x W x 3 uint8.
        size: (H', W').

    Returns:
        H' x W' x 3 int32 from 0 to 255, on the image's device.
    """
    pixels = image.to(torch.int32)
    for axis in (1, 0):
        if pixels.shape[axis] != size[axis]:
            pixels = _along(pixels, axis, size[axis])
    return pixels


def _along(pixels: Tensor, axis: int, length: int) -> Tensor:
    places, weights = _taps_on(pixels.device, pixels.shape[axis], length)
    shape = [1, 1, 1]
    shape[axis] = length
    total = torch.full((), 1 << (FRACTION_BITS - 1), dtype=torch.int32, device=pixels.device)
    for place, weight in zip(places, weights, strict=True):
        total = total + pixels.index_select(axis, place) * weight.view(shape)
    return (total >> FRACTION_BITS).clamp_(0, 255)


@lru_cache(KEPT)
def _taps_on(device: torch.device, length: int, new_length: int) -> tuple[Tensor, Tensor]:
    places, weights = (torch.from_numpy(part).to(device) for part in taps(length, new_length))
    return places, weights


def taps(length: int, new_length: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """The pixels that each new one is made of, and their weights.

    Args:
        length: of a row.
        new_length: that it gets.

    Returns:
        T x L' indices of pixels, and T x L' weights of them, whose sum over T is about `2 ** FRACTION_BITS`.
    """
    scale = length / new_length
    support = max(scale, 1.0)
    centres = (np.arange(new_length) + 0.5) * scale
    first = np.maximum(0, (centres - support + 0.5).astype(np.int64))
    last = np.minimum(length, (centres + support + 0.5).astype(np.int64))
    places = first + np.arange(2 * math.ceil(support) + 1)[:, None]
    distances = np.abs((places - centres + 0.5) * (1.0 / support))
    weights = np.where((distances < 1.0) & (places < last), 1.0 - distances, 0.0)
    # Summed in PIL's order: another one rounds otherwise.
    total = np.zeros(new_length)
    for row in weights:
        total = total + row
    fixed = (0.5 + weights / total * (1 << FRACTION_BITS)).astype(np.int32)
    return np.minimum(places, length - 1), np.where(weights > 0, fixed, 0).astype(np.int32)
