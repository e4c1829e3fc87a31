"""Wall time by stage, right on devices that run behind the program."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

STAGES = ("encode", "excavate", "decode", "postprocess")


class Stopwatch:
    """Adds up the wall seconds spent in each stage.

    >>> watch = Stopwatch(torch.device("cpu"))
    >>> with watch("encode"):
    ...     pass
    >>> sorted(watch.seconds)
    ['decode', 'encode', 'excavate', 'postprocess']
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Times the block as part of a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.seconds[stage] += time.perf_counter() - start
