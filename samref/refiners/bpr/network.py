"""BPR's network: an HRNet that sees image and mask, and a head of two classes. Module names are the official keys."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from samref.refiners.hrnet import STEM, Body, Stage, bottlenecks, conv_norm, doubling, joined

CLASSES = 2


@dataclass(frozen=True)
class Architecture:
    """An HRNet of BPR.

    Attributes:
        first: channels of its first stage.
        first_blocks: bottlenecks of its first stage.
        stages: the other three.
        size: px to which a patch is enlarged.
    """

    first: int
    first_blocks: int
    stages: tuple[Stage, Stage, Stage]
    size: int


def architecture(width: int, small: bool, first: int = 256, size: int | None = None) -> Architecture:
    """An HRNet as wide as wanted: HRNet-18s is the small one of width 18, HRNet-48 the other of width 48.

    Args:
        width: channels of the finest branch.
        small: whether it has the modules and blocks of HRNet-18s, or those of HRNet-48.
        first: channels of the first stage.
        size: px to which a patch is enlarged; None: the authors' value.
    """
    modules, blocks = ((1, 3, 2), 2) if small else ((1, 4, 3), 4)
    one, two, three = (Stage(count, blocks, doubling(width, k + 2)) for k, count in enumerate(modules))
    return Architecture(first, blocks, (one, two, three), size or (128 if small else 256))


ARCHITECTURES = {"hrnet18s": architecture(18, small=True), "hrnet48": architecture(48, small=False)}


class MaskedHrNet(Body):
    """An HRNet with a second first convolution, for the mask."""

    def __init__(self, parts: Architecture) -> None:
        super().__init__([parts.first], parts.stages, first=2, align_corners=False)
        self.conv1, self.bn1 = conv_norm(3, STEM, stride=2)
        self.conv_mask = nn.Conv2d(1, STEM, 3, stride=2, padding=1, bias=False)
        self.conv2, self.bn2 = conv_norm(STEM, STEM, stride=2)
        self.layer1 = bottlenecks(STEM, parts.first, parts.first_blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        """B x 4 x S x S; returns branches from a quarter of S on."""
        x = F.relu(self.bn1(self.conv1(x[:, :3]) + self.conv_mask(x[:, 3:])))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.stages([self.layer1(x)])


class Head(nn.Module):
    """A pointwise convolution over all branches, and the classes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        conv, norm = conv_norm(channels, channels, kernel=1)
        self.convs = nn.ModuleList([nn.ModuleDict({"conv": conv, "bn": norm})])
        self.conv_seg = nn.Conv2d(channels, CLASSES, 1)

    def forward(self, branches: list[Tensor]) -> Tensor:
        """B x 2 x S/4 x S/4 logits."""
        layers = dict(self.convs[0].named_children())
        hidden = F.relu(layers["bn"](layers["conv"](joined(branches, align_corners=False))))
        logits: Tensor = self.conv_seg(hidden)
        return logits


class BprNetwork(nn.Module):
    """All of BPR's network."""

    def __init__(self, parts: Architecture) -> None:
        super().__init__()
        self.size = parts.size
        self.backbone = MaskedHrNet(parts)
        self.decode_head = Head(sum(self.backbone.widths))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of patches.

        Args:
            x: B x 4 x S x S, normalized RGB and the mask as -1 and 1.

        Returns:
            B x 2 x S x S: background and foreground.
        """
        logits = self.decode_head(self.backbone(x)).float()
        return F.interpolate(logits, size=x.shape[-2:], mode="bilinear", align_corners=False)

    def probabilities(self, x: Tensor, patch: int) -> Tensor:
        """Probabilities of the foreground at the size of a patch, B x P x P; see `forward`."""
        logits = F.interpolate(self(x), size=(patch, patch), mode="bilinear", align_corners=False)
        return torch.softmax(logits, dim=1)[:, 1]
