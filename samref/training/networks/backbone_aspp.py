"""A small semantic head on the frozen features of a Segment Anything model: a CPU trains it in minutes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from samref.backbones.backbone import Backbone
from samref.config.paths import InputFile
from samref.training.kept import Memory
from samref.training.networks.network import SEMANTIC, Network, label_loss
from samref.training.networks.weights import start_from

FROZEN = "backbone."
# Label pixels a cell of the embedding, along each side: those of SAM's own logit grid.
FINEST = 4


class BackboneAspp(Network):
    """Parallel dilated convolutions on image embeddings.

    The backbone is frozen: an image is encoded once, by the run's cache, and a step trains the head alone. Embeddings
    stay in memory, of some hundred images. They are mirrored in place of images: augmentation costs no encoding.
    """

    kind = SEMANTIC

    def __init__(
        self,
        classes: int,
        backbone: Backbone,
        width: int,
        dilations: Sequence[int],
        dropout: float,
        flip: float,
        pretrained: bool | InputFile = False,
    ) -> None:
        """Builds the head.

        Args:
            classes: background included.
            backbone: encodes images; stays as it is.
            width: channels of each branch.
            dilations: of the branches' 3 x 3 convolutions, in cells of the embedding.
            dropout: share of channels left out before the last layer while training.
            flip: probability that an embedding is mirrored while training.
            pretrained: a file of this network to start from; there are no published weights.
        """
        super().__init__()
        self.backbone: Any = backbone
        self.flip = flip
        self._memory: Memory[Tensor] = Memory()
        self.reduce = _block(self._channels(), width, 1, 1)
        self.branches = nn.ModuleList(_block(width, width, 3, dilation) for dilation in dilations)
        self.classify = nn.Sequential(
            _block(width * (len(dilations) + 1), width, 1, 1), nn.Dropout2d(dropout), nn.Conv2d(width, classes, 1)
        )
        start_from(self, pretrained)

    def losses(self, images: Sequence[Tensor], targets: Sequence[Tensor]) -> dict[str, Tensor]:
        """See `Network`: the mean over images of each one's mean cross entropy."""
        losses = []
        for image, target in zip(images, targets, strict=True):
            features = self._features(image)
            if self.training and torch.rand(()) < self.flip:
                features, target = features.flip(-1), target.flip(-1)
            scores = self._scores(features)
            losses.append(label_loss(scores, _shrunk(target, [FINEST * side for side in scores.shape[-2:]])))
        return {"labels": torch.stack(losses).mean()}

    def predict(self, image: Tensor) -> Tensor:
        """See `Network`."""
        size = (image.shape[-2], image.shape[-1])
        scores = self._scores(self._features(image))
        full: Tensor = nn.functional.interpolate(scores, size=size, mode="bilinear", align_corners=False)
        return full[0]

    def kept(self) -> dict[str, Tensor]:
        """The head; the backbone has its own file."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith(FROZEN)}

    def _features(self, image: Tensor) -> Tensor:
        """1 x channels x h x w, the part of the embedding that the image covers."""
        pixels = image.permute(1, 2, 0).contiguous().cpu().numpy()
        key = (pixels.shape, hashlib.blake2b(pixels.data, digest_size=20).digest())
        return self._memory.get(key, lambda: self._encoded(image.device, pixels))

    def _encoded(self, device: torch.device, pixels: npt.NDArray[np.uint8]) -> Tensor:
        # In full precision whatever the trainer's: embeddings are the run's, and are kept.
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            embedding = self.backbone.encode(pixels)
        height, width = (
            max(1, math.ceil(side * cells / self.backbone.img_size))
            for side, cells in zip(embedding.input_size, self.backbone.embedding_size, strict=True)
        )
        covered: Tensor = embedding.features[:, :, :height, :width].contiguous()
        return covered

    def _scores(self, features: Tensor) -> Tensor:
        reduced = self.reduce(features)
        parts = [branch(reduced) for branch in self.branches]
        pooled = reduced.mean(dim=(2, 3), keepdim=True).expand_as(reduced)
        scores: Tensor = self.classify(torch.cat([*parts, pooled], dim=1))
        return scores

    def _channels(self) -> int:
        # The protocol names the grid of an embedding, not its depth.
        side = self.backbone.img_size // 4
        with torch.no_grad():
            black = torch.zeros(side, side, 3, dtype=torch.uint8).numpy()
            return int(self.backbone.encode(black).features.shape[1])


def _shrunk(target: Tensor, size: Sequence[int]) -> Tensor:
    """1 x h x w labels, no larger than `size`: finer ones cost time and say nothing that cells could learn."""
    if target.shape[-2] <= size[0] and target.shape[-1] <= size[1]:
        return target[None]
    smaller: Tensor = nn.functional.interpolate(target[None, None].float(), size=list(size), mode="nearest-exact")
    return smaller[0].long()


def _block(inputs: int, outputs: int, side: int, dilation: int) -> nn.Sequential:
    # Groups, not batches: an image is normalized by itself, whatever else is in the batch.
    conv = nn.Conv2d(inputs, outputs, side, padding=dilation * (side // 2), dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(min(8, outputs), outputs), nn.ReLU())
