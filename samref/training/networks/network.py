"""What a network is that can be trained on masks: its losses, its predictions, its parameters' shares of the rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

SEMANTIC, INSTANCE = "semantic", "instance"
IGNORE = 255

# Of torchvision's ImageNet weights.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Group(NamedTuple):
    """Parameters that train alike.

    Attributes:
        parameters: those of them that require a gradient are trained.
        rate: their share of the learning rate.
        decay: their share of the weight decay.
    """

    parameters: list[nn.Parameter]
    rate: float = 1.0
    decay: float = 1.0


class Network(nn.Module, ABC):
    """A network that is trained on masks. A new one is one class here and one yaml in `conf/network`.

    Images are C x H x W uint8 RGB tensors of any sizes. What they are trained on is, by `kind`:

    - `semantic`: H x W int64 label maps, 255 is ignored;
    - `instance`: a dict with `boxes` (n x 4 float32 x0, y0, x1, y1, right and lower borders exclusive), `labels`
      (n int64, from 1) and `masks` (n x H x W uint8).

    Attributes:
        kind: `semantic` or `instance`.
    """

    kind: ClassVar[str]

    @abstractmethod
    def losses(self, images: Sequence[Tensor], targets: Sequence[Any]) -> dict[str, Tensor]:
        """The losses of a batch, by name; their sum is what is minimized.

        Args:
            images: 3 x H x W uint8 RGB each.
            targets: of each image, see the class.

        Returns:
            Scalars.
        """

    @abstractmethod
    def predict(self, image: Tensor) -> Any:
        """What the network finds in an image.

        Args:
            image: 3 x H x W uint8 RGB.

        Returns:
            `semantic`: classes x H x W float32 scores before the softmax. `instance`: a dict as a target, with `scores`
            (n float32 in [0, 1]), and `masks` n x H x W bool.
        """

    def groups(self) -> list[Group]:
        """The parameters by how they train."""
        return [Group(list(self.parameters()))]

    def kept(self) -> dict[str, Tensor]:
        """What a file of this network holds: all of its state but for what came frozen from elsewhere."""
        return dict(self.state_dict())


def normalized(image: Tensor) -> Tensor:
    """A 3 x H x W uint8 image as torchvision's networks take it: float32, mean 0 and deviation 1 over ImageNet."""
    mean, std = (torch.tensor(values, device=image.device).view(3, 1, 1) for values in (MEAN, STD))
    return (image.float() / 255 - mean) / std


def label_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Mean cross entropy over the pixels that are not ignored; 0 where all are.

    Args:
        scores: N x classes x h x w; resized bilinearly to the target.
        target: N x H x W int64, 255 is ignored.

    Returns:
        A scalar.
    """
    size = (target.shape[-2], target.shape[-1])
    if scores.shape[-2:] != size:
        scores = nn.functional.interpolate(scores, size=size, mode="bilinear", align_corners=False)
    total = nn.functional.cross_entropy(scores.float(), target, ignore_index=IGNORE, reduction="sum")
    return total / (target != IGNORE).sum().clamp(min=1)
