"""SegRefiner's discrete diffusion: pixels change one by one from the coarse mask's value to the fine mask's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samref.structures import BoolArray

TIMES = 6
# Probability that a pixel still has the fine mask's value, by time; and the same one time earlier.
KEPT = torch.linspace(0.8, 0, TIMES)
KEPT_BEFORE = torch.cat([torch.ones(1), KEPT[:-1]])

# Arrays or tensors of a shape.
Uniform = Callable[[tuple[int, ...]], Any]
Draw = Callable[[tuple[int, ...]], Tensor]
Network = Callable[[Tensor, Tensor], Tensor]


def denoise(
    network: Network, images: Tensor, coarse: Tensor, times: Sequence[int], draw: Draw
) -> tuple[Tensor, Tensor]:
    """Refines a batch of masks by running the diffusion backwards (SegRefiner, section 3).

    Args:
        network: logits (B x 1 x h x w) from B x 4 x h x w and B times.
        images: B x 3 x h x w, normalized.
        coarse: B x 1 x h x w of 0 and 1.
        times: descending, 5 to 0.
        draw: uniform numbers in [0, 1) of a shape; called once a time, but for the last.

    Returns:
        Probabilities of the foreground, and of being fine: B x 1 x h x w each.
    """
    x, fine = coarse, torch.zeros_like(coarse)
    for time in times:
        logits = network(torch.cat([images, x], dim=1), torch.full((len(x),), time, device=x.device)).float()
        probability = logits.sigmoid()
        fine = fine + (1 - fine) * change_rate(probability, time)
        if time != times[-1]:
            x = torch.where(draw(tuple(x.shape)).to(x) < fine, (logits >= 0).to(x), coarse)
    return probability, fine


def change_rate(probability: Tensor, time: int) -> Tensor:
    """Probability that a pixel turns fine at a time, from that of the foreground; of the same shape."""
    confidence = (2 * probability - 1).abs()
    kept, before = float(KEPT[time]), float(KEPT_BEFORE[time])
    return confidence * (before - kept) / (1 - confidence * kept)


def seeded_draw(masks: Sequence[BoolArray], seed: int) -> Draw:
    """Draws for a batch, each mask's from a generator of its own.

    The generator is seeded by what the mask shows, so that neither its place in a batch nor what was refined before
    changes its draws, and they are made on the CPU, so that the device does not either.

    Args:
        masks: B masks, H x W bool.
        seed: of the run.
    """
    generators = [torch.Generator().manual_seed(mask_seed(mask, seed)) for mask in masks]
    return lambda shape: torch.stack([torch.rand(shape[1:], generator=generator) for generator in generators])


def given_draw(uniform: Uniform) -> Draw:
    """Draws that a caller makes itself, for a batch at a time."""
    return lambda shape: torch.as_tensor(np.asarray(uniform(shape)), dtype=torch.float32).reshape(shape)


def mask_seed(mask: BoolArray, seed: int) -> int:
    """A seed of 63 bits from a mask's size and pixels."""
    shown = f"{seed} {mask.shape}".encode() + np.packbits(mask).tobytes()
    return int.from_bytes(hashlib.blake2b(shown, digest_size=8).digest(), "big") >> 1
