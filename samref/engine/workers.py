"""Worker processes that refine images with a model that stays in this process, which only encodes and decodes.

The results come out in the order of the images, whichever worker was faster. What a worker does is in
`samref.engine.worker`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from multiprocessing import connection as connections
from multiprocessing import get_context
from typing import Any

import torch

from samref.backbones.backbone import Backbone
from samref.backbones.encoding import AT_ONCE, EncodingQueue, on_stream, stream_of
from samref.backbones.exchange import Exchange
from samref.backbones.served import Facts, Server
from samref.callbacks.outcome import Outcome
from samref.datasets.loader import Samples
from samref.engine.work import Work
from samref.engine.worker import Finished, work_for
from samref.errors import ConfigError, WorkerError
from samref.refiners.samrefiner import SAMRefiner

# Images that wait in a worker while it refines another: it need not wait for the next.
AHEAD = 1
# Images behind the one whose turn it is that may be begun, for each worker: a slow image holds up no other until then.
SPREAD = 4
# Seconds that a process has to end.
PATIENCE = 2.0
# Workers forked from this process would inherit locks of OpenCV's and OpenMP's threads and hang. So another process,
# which has never used any, imports this module once and forks all of them.
START = "forkserver"
# Workers share out the cores among themselves: threads of their own, of numpy's products above all, would wait for each
# other most of the time. Libraries look these up when they are imported.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
AUTO = "auto"
# What `auto` takes at most: more than keep an accelerator busy only take memory.
MOST = 12


@dataclass(frozen=True)
class Ticket:
    """Stands for an image whose pixels are in a worker process.

    Attributes:
        index: of the sample.
        image_id: of the sample.
    """

    index: int
    image_id: str | int


def worker_count(wanted: int | str, device: torch.device) -> int:
    """How many processes an option means.

    Args:
        wanted: a number, or `auto`: beside an accelerator one for each core but one, up to `MOST`; none beside a model
            that needs the cores itself.
        device: of the model.

    Raises:
        ConfigError: for another word.
    """
    if wanted == AUTO:
        return 0 if device.type == "cpu" else max(1, min(MOST, (os.cpu_count() or 1) - 1))
    if isinstance(wanted, str):
        raise ConfigError(f"num_workers is {wanted}; expected auto or a whole number")
    return wanted


class Workers:
    """The workers of a run, seen from the process that has the model."""

    def __init__(self, count: int, work: Work, samples: Samples) -> None:
        """Starts no process yet.

        Args:
            count: of processes, at least 1.
            work: with a `SAMRefiner`.
            samples: of the run.
        """
        assert isinstance(work.refiner, SAMRefiner)
        self.count, self.samples = count, samples
        self.backbone: Backbone = work.refiner.backbone
        # The model stays here.
        refiner = copy(work.refiner)
        refiner.backbone = None  # type: ignore[assignment]
        self.work = replace(work, refiner=refiner)
        self._todo: deque[int] = deque()
        self._turn: dict[int, int] = {}
        self._done: dict[int, Outcome | BaseException] = {}
        self._workers: list[_Worker] = []
        self._next = 0
        self._encoding = encoding_beside(self.backbone, count)
        # Masks are decoded before images are encoded: who waits for them is further on.
        self._decoding = stream_of(self.backbone.device, priority=-1)

    def begin(self, todo: Sequence[int]) -> list[Ticket]:
        """Starts the processes.

        Args:
            todo: indices of samples, each of which `outcome` is then called for, in this order.

        Returns:
            A ticket of each.
        """
        self._todo, self._turn = deque(todo), {index: place for place, index in enumerate(todo)}
        with _environment(ONE_THREAD):
            for _ in range(min(self.count, len(todo))):
                self._workers.append(_Worker(self.backbone))
        for worker in self._workers:
            worker.send((self.samples, self.work, Facts.of(self.backbone)))
        self._hand_out()
        return [Ticket(index, self.samples.dataset.image_id(index)) for index in todo]

    def outcome(self, ticket: Ticket) -> Outcome:
        """The outcome of an image; until it is there, the model answers the workers.

        Raises:
            SamrefError: that the worker has met.
            WorkerError: where a worker was ended by the system.
        """
        self._next = self._turn[ticket.index]
        self._hand_out()
        while ticket.index not in self._done:
            encoded = [] if self._encoding is None else [self._encoding.ready]
            ready = connections.wait([*encoded, *(worker.connection for worker in self._workers)])
            for worker in self._workers:
                if worker.connection in ready:
                    self._receive_from(worker)
            if self._encoding is not None:
                if self._encoding.ready in ready:
                    for worker, embedding, seconds in self._encoding.take():
                        worker.send(worker.server.keep(embedding, seconds))
                self._encoding.start()
        result = self._done.pop(ticket.index)
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        """Ends the processes, whatever they are at; half-written files are removed."""
        for worker in self._workers:
            worker.process.terminate()
        if self._encoding is not None:
            self._encoding.close()
        for worker in self._workers:
            worker.end()
        self._workers = []

    def _receive_from(self, worker: _Worker) -> None:
        message = worker.receive()
        if isinstance(message, Finished):
            self._done[message.index] = message.result
            worker.busy -= 1
            self._hand_out()
        elif message.call == "encode" and self._encoding is not None:
            self._encoding.put(worker, worker.server.image(message))
        else:
            with on_stream(self._decoding):
                worker.send(worker.server(message))

    def _hand_out(self) -> None:
        """Gives images to workers, the least busy first."""
        for room in range(AHEAD + 1):
            for worker in self._workers:
                if worker.busy <= room and self._todo and self._turn[self._todo[0]] < self._next + SPREAD * self.count:
                    worker.busy += 1
                    worker.send(self._todo.popleft())


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Variables that processes started in the block have."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def encoding_beside(backbone: Backbone, workers: int) -> EncodingQueue[_Worker] | None:
    """A queue of images to encode while masks are decoded, on CUDA, whose streams work beside each other."""
    return EncodingQueue(backbone, min(AT_ONCE, workers)) if backbone.device.type == "cuda" else None


class _Worker:
    """A process, the connection to it, and how many images it has."""

    def __init__(self, backbone: Backbone) -> None:
        context: Any = get_context(START)
        context.set_forkserver_preload([__name__])
        self.exchange = Exchange()
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work_for, args=(theirs, self.exchange), daemon=True)
        self.process.start()
        theirs.close()
        self.server, self.busy = Server(backbone, self.exchange), 0

    def send(self, message: Any) -> None:
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._lost() from error

    def receive(self) -> Any:
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._lost() from error

    def end(self) -> None:
        """Waits for the process to end, and makes it end if it does not."""
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()
        self.exchange.close()

    def _lost(self) -> WorkerError:
        self.process.join(PATIENCE)
        code = self.process.exitcode
        why = "was ended by the system" if code is None or code < 0 else f"ended with exit status {code}"
        return WorkerError(
            f"a process that refines images {why}, most likely for want of memory; run the same command again with "
            "fewer num_workers, or 0"
        )
