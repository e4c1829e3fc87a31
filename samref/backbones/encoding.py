"""Images of several workers encoded a batch at a time, on a stream of its own, while masks of others are decoded."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import Pipe
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from samref.backbones.backbone import Backbone
from samref.structures import Embedding

# Images at once: more keep a large card little busier, and the first worker of a batch waits longer.
AT_ONCE = 4

Owner = TypeVar("Owner")


class Encoded(NamedTuple, Generic[Owner]):
    """An image that is done.

    Attributes:
        owner: as given with the image.
        embedding: of the image.
        seconds: its share of what the batch took.
    """

    owner: Owner
    embedding: Embedding
    seconds: float


class EncodingQueue(Generic[Owner]):
    """Encodes images in a thread; batches are always of one size, so that no result depends on who came together.

    Attributes:
        ready: becomes readable when a batch is done; `take` reads it.
    """

    def __init__(self, backbone: Backbone, at_once: int) -> None:
        """Starts no thread yet.

        Args:
            backbone: on an accelerator.
            at_once: images of a batch; where fewer wait, the last is encoded several times.
        """
        self.backbone, self.at_once = backbone, at_once
        self.ready, self._done = Pipe(duplex=False)
        self._waiting: deque[tuple[Owner, npt.NDArray[np.uint8]]] = deque()
        self._thread = ThreadPoolExecutor(1, "encoder")
        self._batch: tuple[list[Owner], Future[tuple[list[Embedding], float]]] | None = None
        self._stream = stream_of(backbone.device)

    def put(self, owner: Owner, image: npt.NDArray[np.uint8]) -> None:
        """Adds an image, H x W x 3 uint8, which must stay as it is until it is encoded."""
        self._waiting.append((owner, image))

    def start(self) -> None:
        """Begins a batch if there are images and none is at work."""
        if self._batch is not None or not self._waiting:
            return
        batch = [self._waiting.popleft() for _ in range(min(self.at_once, len(self._waiting)))]
        images = [image for _, image in batch]
        future = self._thread.submit(self._encode, images + images[-1:] * (self.at_once - len(images)))
        self._batch = [owner for owner, _ in batch], future

    def take(self) -> list[Encoded[Owner]]:
        """The images of the batch that is done.

        Raises:
            DeviceError: where the device's memory does not hold one image.
        """
        assert self._batch is not None
        self.ready.recv_bytes()
        owners, future = self._batch
        self._batch = None
        embeddings, seconds = future.result()
        wanted = embeddings[: len(owners)]
        return [Encoded(*each, seconds / len(owners)) for each in zip(owners, wanted, strict=True)]

    def close(self) -> None:
        """Ends the thread, behind the batch that it is at."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self.ready.close()
        self._done.close()

    def _encode(self, images: Sequence[npt.NDArray[np.uint8]]) -> tuple[list[Embedding], float]:
        clock = time.perf_counter()
        try:
            with torch.inference_mode(), on_stream(self._stream):
                embeddings = self.backbone.encode_batch(images)
            if self._stream is not None:
                # Whoever is given them uses them on another stream.
                self._stream.synchronize()
            return embeddings, time.perf_counter() - clock
        finally:
            self._done.send_bytes(b"!")


def stream_of(device: torch.device, priority: int = 0) -> torch.cuda.Stream | None:
    """A stream of an accelerator, or None on a processor; work of a lower priority number goes first."""
    if device.type != "cuda":
        return None
    stream: torch.cuda.Stream = torch.cuda.Stream(device, priority=priority)  # type: ignore[no-untyped-call]
    return stream


def on_stream(stream: torch.cuda.Stream | None) -> AbstractContextManager[object]:
    """Work of the block is given to a stream, if there is one."""
    return nullcontext() if stream is None else torch.cuda.stream(stream)
