"""The protocol of a backbone: what the refiner needs of a Segment Anything model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from samref.structures import Candidates, Embedding, Prompts


@runtime_checkable
class Backbone(Protocol):
    """A frozen Segment Anything model. A new one is one file here and one yaml in `conf/backbone`.

    Attributes:
        name: option name of the config group.
        weights_sha256: hash of the file the weights came from; "" for random weights.
        encoder_id: what decides an embedding beside the image and the weights (preprocessing, arithmetic); embeddings
            are cached under it.
        img_size: side of the square model frame in model px (1024 for most published models).
        stretched: whether an image fills the model frame, each axis with its own scale, rather than keep its
            proportions beside padding.
        embedding_size: (h, w) of the image embedding.
        mask_input_size: (h, w) of the logit grid, four times the embedding.
        iou_head: the module that predicts IoUs; its last linear layer is what SAMRefiner++ adapts.
    """

    @property
    def name(self) -> str: ...

    @property
    def weights_sha256(self) -> str: ...

    @property
    def encoder_id(self) -> str: ...

    @property
    def img_size(self) -> int: ...

    @property
    def stretched(self) -> bool: ...

    @property
    def embedding_size(self) -> tuple[int, int]: ...

    @property
    def mask_input_size(self) -> tuple[int, int]: ...

    @property
    def iou_head(self) -> nn.Module: ...

    @property
    def device(self) -> torch.device: ...

    def encode(self, image: npt.NDArray[np.uint8]) -> Embedding:
        """Encodes one image.

        Args:
            image: H x W x 3 uint8 RGB.

        Returns:
            Features over the model frame.
        """
        ...

    def encode_batch(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Embedding]:
        """Encodes images of any sizes together, which keeps an accelerator busier than one at a time.

        Args:
            images: one or more of H x W x 3 uint8 RGB.

        Returns:
            Their embeddings, in order.
        """
        ...

    def decode(self, embedding: Embedding, prompts: Prompts, *, unpadded_only: bool = False) -> Candidates:
        """Decodes N prompted masks of one image.

        Args:
            embedding: of the image.
            prompts: of N masks, image px; mask prompts on the logit grid.
            unpadded_only: whether logits are wanted under the image alone; those under the padding may then be anything
                finite.

        Returns:
            Four masks for each of the N prompts, on the logit grid.
        """
        ...

    def to(self, *args: Any, **kwargs: Any) -> Backbone:
        """Moves the model, as `torch.nn.Module.to` does.

        Args:
            *args: a device, as `torch.nn.Module.to` takes it.
            **kwargs: the same by name.

        Returns:
            The backbone itself.
        """
        ...
