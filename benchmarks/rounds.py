"""Times contenders in turns, so that a machine that slows down slows all of them down."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def seconds_in_turns(
    contenders: Mapping[str, Callable[[], object]], rounds: int, device: torch.device | None = None
) -> dict[str, float]:
    """Median wall seconds of each contender, each run once a round after one round of warming up.

    Args:
        contenders: what to run, by name.
        rounds: how many times each is timed.
        device: an accelerator to wait for, or None.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, action in contenders.items():
            wait_for(device)
            start = time.perf_counter()
            action()
            wait_for(device)
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}


def wait_for(device: torch.device | None) -> None:
    """Returns when an accelerator has done all it was given."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
