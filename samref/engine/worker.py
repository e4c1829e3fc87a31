"""A process that refines images with a model of another process: reads, mines, makes masks, writes, measures, draws.

Imports no Lightning, which every worker would wait for.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import connection as connections
from multiprocessing import parent_process

import cv2
import torch

from samref.backbones.exchange import Exchange
from samref.backbones.served import Reply, Request, ServedBackbone
from samref.callbacks.outcome import Outcome
from samref.errors import SamrefError
from samref.refiners.samrefiner import SAMRefiner
from samref.structures import Refinement, Sample


@dataclass(frozen=True)
class Finished:
    """What a worker sends when it is done with an image: its outcome, or what went wrong."""

    index: int
    result: Outcome | BaseException


def work_for(connection: connections.Connection, exchange: Exchange) -> None:
    """What a worker process does: image after image, until it is ended."""
    _prepare()
    # The process that has the model is gone: `_end_with_parent` is about to end this one as well.
    with suppress(EOFError, ConnectionError):
        _work_for(connection, exchange)


def _work_for(connection: connections.Connection, exchange: Exchange) -> None:
    samples, work, facts = connection.recv()
    tasks: deque[int] = deque()

    def reply_to(request: Request) -> Reply:
        connection.send(request)
        while not isinstance(reply := connection.recv(), Reply):
            tasks.append(reply)
        return reply

    backbone = ServedBackbone(facts, exchange, reply_to)
    work.refiner.backbone = backbone
    work = replace(work, refiner=_WithoutWaits(work.refiner, backbone))
    while True:
        index = tasks.popleft() if tasks else connection.recv()
        try:
            result: Outcome | BaseException = work(samples[index]).without_pixels()
        except (SamrefError, OSError) as error:
            result = error
        except Exception:
            result = RuntimeError(f"in a process that refines images:\n{traceback.format_exc()}")
        connection.send(Finished(index, result))


@dataclass
class _WithoutWaits:
    """A refiner whose seconds are those of its own work and the model's, not of waiting for the model."""

    refiner: SAMRefiner
    backbone: ServedBackbone

    def refine_sample(self, sample: Sample, *, keep_candidates: bool = False, keep_logits: bool = False) -> Refinement:
        refinement = self.refiner.refine_sample(sample, keep_candidates=keep_candidates, keep_logits=keep_logits)
        for stage, seconds in self.backbone.waited.items():
            refinement.timing[stage] = max(0.0, refinement.timing[stage] - seconds)
            self.backbone.waited[stage] = 0.0
        return refinement


def _prepare() -> None:
    # Beside `ONE_THREAD`: those two count cores by themselves.
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    # Ctrl-C reaches all processes of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process with the one that started it: a run that is killed must not go on writing."""
    parent = parent_process()
    if parent is not None:
        with suppress(OSError):
            connections.wait([parent.sentinel])
    os._exit(1)
