"""Wall time by stage, right on devices that run behind the program."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# What a refinement costs; `evaluate` (rating candidates against the truth) is timed beside it and never counted in.
STAGES = ("encode", "excavate", "decode", "postprocess")
EVALUATE = "evaluate"


class Stopwatch:
    """Adds up the wall seconds spent in each stage.

    >>> watch = Stopwatch(torch.device("cpu"))
    >>> with watch("encode"):
    ...     pass
    >>> sorted(watch.seconds)
    ['decode', 'encode', 'evaluate', 'excavate', 'postprocess']
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys((*STAGES, EVALUATE), 0.0)

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
