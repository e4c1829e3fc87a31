"""A backbone that encodes no image twice."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from samref.backbones.backbone import Backbone
from samref.backbones.cache.entry import Tensors, embedding_key
from samref.backbones.checks import check_image
from samref.backbones.weights.checkpoint import content_sha256
from samref.errors import ConfigError
from samref.geometry.frames import resized_size
from samref.structures import Candidates, Embedding, Prompts

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16}


class Store(Protocol):
    """Where embeddings are kept, by group and key: `EmbeddingStore` on disk, `LastEmbedding` in memory."""

    def read(self, group: str, key: str) -> Tensors | None:
        """The tensors of an entry, or None."""
        ...

    def write(self, group: str, key: str, tensors: Tensors) -> None:
        """Adds an entry."""
        ...

    def encoding(self, key: str) -> AbstractContextManager[None]:
        """Held while an image is encoded, so that nobody else encodes it too."""
        ...


class CachedBackbone(nn.Module):
    """Puts a cache of embeddings in front of a backbone; everything else is the backbone's.

    Attributes:
        uncached: the backbone.
        hits: images that were found in the cache.
        misses: images that were encoded.
    """

    uncached: Any

    def __init__(self, backbone: Backbone, store: Store, precision: str = "fp32") -> None:
        """Wraps a backbone.

        Args:
            backbone: its weights stay as they are now, the last layers of its IoU head excepted.
            store: where embeddings are kept.
            precision: `fp32` changes nothing. `fp16` halves the disk space and rounds features by at most 1 part in
                2048 (subnormals below 6e-5 by up to 3e-8), whether they come from the cache or not.
        """
        super().__init__()
        if precision not in PRECISIONS:
            raise ConfigError(f"backbone.cache_precision is {precision!r}; expected {' or '.join(PRECISIONS)}")
        # Not a sub-module itself, but its parts are: parameters have the same names with and without a cache.
        self.__dict__["uncached"] = backbone
        if isinstance(backbone, nn.Module):
            for name, module in backbone.named_children():
                self.add_module(name, module)
        self.store, self.dtype = store, PRECISIONS[precision]
        self.hits = self.misses = 0
        weights = backbone.weights_sha256 or content_sha256(self.state_dict())
        self._encoder = f"{backbone.name} {weights} {backbone.encoder_id} {precision}"

    def encode(self, image: npt.NDArray[np.uint8]) -> Embedding:
        """Encodes one H x W x 3 uint8 RGB image, or takes its embedding from the cache."""
        check_image(image)
        key = embedding_key(image, self._encoder)
        found = self.store.read(self.name, key)
        if found is None:
            with self.store.encoding(key):
                # Who waited for another process finds what that one left.
                found = self.store.read(self.name, key)
                if found is None:
                    return self._encode_and_store(image, key)
        self.hits += 1
        return self._restored(found, image)

    def encode_batch(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Embedding]:
        """Encodes images together, those alone that the cache does not have.

        Another process may encode some of them at the same time: to wait for it would leave the others undone.
        """
        if len(images) == 1:
            return [self.encode(images[0])]
        for image in images:
            check_image(image)
        keys = [embedding_key(image, self._encoder) for image in images]
        found = {key: tensors for key in keys if (tensors := self.store.read(self.name, key)) is not None}
        missing = {key: image for key, image in zip(keys, images, strict=True) if key not in found}
        made: dict[str, Embedding] = {}
        if missing:
            encoded = self.uncached.encode_batch(list(missing.values()))
            for (key, image), embedding in zip(missing.items(), encoded, strict=True):
                made[key] = self._stored(embedding, image, key)
        self.hits += sum(key in found for key in keys)
        return [
            made[key] if key in made else self._restored(found[key], image)
            for key, image in zip(keys, images, strict=True)
        ]

    def _encode_and_store(self, image: npt.NDArray[np.uint8], key: str) -> Embedding:
        return self._stored(self.uncached.encode(image), image, key)

    def _stored(self, embedding: Embedding, image: npt.NDArray[np.uint8], key: str) -> Embedding:
        self.misses += 1
        parts = {f"interm.{index}": part for index, part in enumerate(embedding.interm)}
        tensors = {name: part.to(self.dtype) for name, part in {"features": embedding.features, **parts}.items()}
        self.store.write(self.name, key, tensors)
        return embedding if self.dtype == torch.float32 else self._restored(tensors, image)

    def _restored(self, tensors: Tensors, image: npt.NDArray[np.uint8]) -> Embedding:
        size = (image.shape[0], image.shape[1])
        interm = tuple(self._moved(tensors[f"interm.{index}"]) for index in range(len(tensors) - 1))
        input_size = resized_size(size, self.img_size, self.stretched)
        return Embedding(self._moved(tensors["features"]), size, input_size, interm)

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, torch.float32)

    def decode(self, embedding: Embedding, prompts: Prompts, *, unpadded_only: bool = False) -> Candidates:
        """Decodes N prompted masks of the encoded image; see `Backbone`."""
        candidates: Candidates = self.uncached.decode(embedding, prompts, unpadded_only=unpadded_only)
        return candidates

    @property
    def name(self) -> str:
        """Option name of the config group."""
        return str(self.uncached.name)

    @property
    def weights_sha256(self) -> str:
        """Hash of the weights; "" for random ones."""
        return str(self.uncached.weights_sha256)

    @property
    def encoder_id(self) -> str:
        """What decides an embedding beside the image and the weights."""
        return str(self.uncached.encoder_id)

    @property
    def img_size(self) -> int:
        """Side of the square model frame in model px."""
        return int(self.uncached.img_size)

    @property
    def stretched(self) -> bool:
        """Whether an image fills the model frame."""
        return bool(self.uncached.stretched)

    @property
    def embedding_size(self) -> tuple[int, int]:
        """(h, w) of the image embedding."""
        height, width = self.uncached.embedding_size
        return height, width

    @property
    def mask_input_size(self) -> tuple[int, int]:
        """(h, w) of the logit grid."""
        height, width = self.uncached.mask_input_size
        return height, width

    @property
    def iou_head(self) -> nn.Module:
        """The module that predicts IoUs."""
        head: nn.Module = self.uncached.iou_head
        return head

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.uncached.device
        return device

    def train(self, mode: bool = True) -> CachedBackbone:
        """As the backbone does, which may be frozen."""
        self.uncached.train(mode)
        return self

    def _apply(self, *args: Any, **kwargs: Any) -> CachedBackbone:
        self.uncached._apply(*args, **kwargs)
        return self
