"""A backbone that is used from worker processes: they send requests, and the process that has the model replies."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from samref.backbones.backbone import Backbone
from samref.backbones.exchange import Exchange, Place
from samref.structures import Candidates, Embedding, Prompts


@dataclass(frozen=True)
class Request:
    """What a worker wants of the model.

    Attributes:
        call: `encode`, `features` or `decode`.
        places: of the arrays in the worker's memory.
        embedding: number of the embedding that is meant.
        unpadded_only: see `Backbone.decode`.
        dropped: numbers of embeddings that the worker does not need any more.
    """

    call: str
    places: Mapping[str, Place]
    embedding: int = 0
    unpadded_only: bool = False
    dropped: Sequence[int] = ()


@dataclass(frozen=True)
class Reply:
    """What the model returns.

    Attributes:
        places: of the arrays in the worker's memory.
        seconds: that it took, without the waiting.
        embedding: its number, and the sizes of `Embedding`.
    """

    places: Mapping[str, Place]
    seconds: float
    embedding: tuple[int, tuple[int, int], tuple[int, int]] | None = None


class Server:
    """Answers one worker; has the embeddings that the worker wanted."""

    def __init__(self, backbone: Backbone, exchange: Exchange) -> None:
        """Takes the model and the memory that it shares with the worker."""
        self.backbone, self.exchange = backbone, exchange
        self.embeddings: dict[int, Embedding] = {}
        self._count = 0

    def __call__(self, request: Request) -> Reply:
        """Answers a request; what comes out is written behind what came in."""
        clock = time.perf_counter()
        for number in request.dropped:
            self.embeddings.pop(number, None)
        arrays = {name: self.exchange.read(place) for name, place in request.places.items()}
        start = max((place.stop for place in request.places.values()), default=0)
        answer: dict[str, Tensor] = {}
        with torch.inference_mode():
            if request.call == "encode":
                return self.keep(self.backbone.encode(arrays["image"]), time.perf_counter() - clock)
            if request.call == "features":
                answer = {"features": self.embeddings[request.embedding].features}
            else:
                embedding = self.embeddings[request.embedding]
                candidates = self.backbone.decode(embedding, Prompts(**arrays), unpadded_only=request.unpadded_only)
                answer = {field.name: getattr(candidates, field.name) for field in fields(candidates)}
                if request.unpadded_only:
                    height, width = self._seen(embedding)
                    answer["low_res_logits"] = answer["low_res_logits"][..., :height, :width]
            places = self.exchange.write({name: part.float() for name, part in answer.items()}, start)
        return Reply(places, time.perf_counter() - clock)

    def image(self, request: Request) -> npt.NDArray[np.uint8]:
        """The image that a worker wants encoded; it stays as it is until the worker has its reply."""
        return self.exchange.read(request.places["image"])

    def keep(self, embedding: Embedding, seconds: float) -> Reply:
        """The reply to a request for an embedding, once there is one.

        Args:
            embedding: kept until the worker drops it.
            seconds: that it took.
        """
        self._count += 1
        self.embeddings[self._count] = embedding
        return Reply({}, seconds, (self._count, embedding.original_size, embedding.input_size))

    def _seen(self, embedding: Embedding) -> tuple[int, int]:
        """The part of the logit grid that the image's pixels see: bilinear upsampling reaches one entry beyond it."""
        height, width = (
            min(cells, math.ceil(length * cells / self.backbone.img_size) + 1)
            for length, cells in zip(embedding.input_size, self.backbone.mask_input_size, strict=True)
        )
        return height, width


@dataclass(frozen=True)
class Facts:
    """What is known of a backbone without a request: attributes of `Backbone`."""

    name: str
    weights_sha256: str
    encoder_id: str
    img_size: int
    stretched: bool
    embedding_size: tuple[int, int]
    mask_input_size: tuple[int, int]

    @classmethod
    def of(cls, backbone: Backbone) -> Facts:
        """Those of a backbone."""
        return cls(**{field.name: getattr(backbone, field.name) for field in fields(cls)})


class ServedBackbone:
    """The backbone as a worker has it: implements `Backbone`, on the worker's processor.

    Attributes:
        waited: seconds by stage that requests took beyond what the model did for them.
    """

    def __init__(self, facts: Facts, exchange: Exchange, reply_to: Callable[[Request], Reply]) -> None:
        """Connects to the model.

        Args:
            facts: of the model.
            exchange: memory that is shared with the process that has it.
            reply_to: sends a request and waits for the reply.
        """
        self.name, self.weights_sha256, self.encoder_id = facts.name, facts.weights_sha256, facts.encoder_id
        self.img_size, self.stretched = facts.img_size, facts.stretched
        self.embedding_size, self.mask_input_size = facts.embedding_size, facts.mask_input_size
        self.device = torch.device("cpu")
        self.waited = {"encode": 0.0, "decode": 0.0}
        self._exchange, self._reply_to = exchange, reply_to
        self._dropped: list[int] = []

    @property
    def iou_head(self) -> nn.Module:
        """Is with the model alone."""
        raise AttributeError("a worker has no modules of the model")

    def encode(self, image: npt.NDArray[np.uint8]) -> Embedding:
        """See `Backbone`."""
        reply = self._call("encode", {"image": np.ascontiguousarray(image)})
        assert reply.embedding is not None
        number, original_size, input_size = reply.embedding
        embedding = FarEmbedding(original_size, input_size, lambda: self._features(number), number)
        weakref.finalize(embedding, self._dropped.append, number)
        return embedding

    def encode_batch(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Embedding]:
        """See `Backbone`."""
        return [self.encode(image) for image in images]

    def decode(self, embedding: Embedding, prompts: Prompts, *, unpadded_only: bool = False) -> Candidates:
        """See `Backbone`."""
        assert isinstance(embedding, FarEmbedding)
        parts = {field.name: getattr(prompts, field.name) for field in fields(prompts)}
        arrays = {name: np.ascontiguousarray(part) for name, part in parts.items() if part is not None}
        reply = self._call("decode", arrays, embedding.number, unpadded_only)
        found = {name: torch.from_numpy(self._exchange.read(place)) for name, place in reply.places.items()}
        seen = found.pop("low_res_logits")
        height, width = self.mask_input_size
        # Copies, of the padding too: the next request writes over what lies in the shared memory.
        padded = F.pad(seen, (0, width - seen.shape[3], 0, height - seen.shape[2]))
        return Candidates(padded, **{name: part.clone() for name, part in found.items()})

    def to(self, *args: Any, **kwargs: Any) -> ServedBackbone:
        """Stays."""
        return self

    def _features(self, number: int) -> Tensor:
        place = self._call("features", {}, number).places["features"]
        return torch.from_numpy(self._exchange.read(place).copy())

    def _call(
        self, call: str, arrays: Mapping[str, npt.NDArray[Any]], embedding: int = 0, unpadded_only: bool = False
    ) -> Reply:
        clock = time.perf_counter()
        dropped = tuple(self._dropped)
        del self._dropped[: len(dropped)]
        reply = self._reply_to(Request(call, self._exchange.write(arrays), embedding, unpadded_only, dropped))
        if call in self.waited:
            self.waited[call] += time.perf_counter() - clock - reply.seconds
        return reply


class FarEmbedding(Embedding):
    """An embedding that stays with the model; its features come when they are looked at."""

    number: int
    _fetch: Callable[[], Tensor]
    _features: Tensor | None

    def __init__(
        self,
        original_size: tuple[int, int],
        input_size: tuple[int, int],
        fetch: Callable[[], Tensor],
        number: int,
    ) -> None:
        values = {"original_size": original_size, "input_size": input_size, "interm": (), "number": number}
        for name, value in {**values, "_fetch": fetch, "_features": None}.items():
            object.__setattr__(self, name, value)

    @property
    def features(self) -> Tensor:
        """See `Embedding`."""
        features = self._features
        if features is None:
            features = self._fetch()
            object.__setattr__(self, "_features", features)
        return features
