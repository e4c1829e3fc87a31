"""SegFix's network: an HRNet with two heads, for boundaries and the way inward. Module names are the official keys."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from samref.backbones.weights.checkpoint import StateDict
from samref.refiners.hrnet import STEM, Body, Stage, bottlenecks, conv_norm, doubling, joined

HIDDEN = 256
DIRECTIONS = 8
SLOPE = 0.01
# In-place normalizations, with which the networks were trained, keep their gains above this.
SMALLEST_GAIN = 1e-5


class LeakyNorm(nn.BatchNorm2d):
    """Normalization and what follows it."""

    def forward(self, x: Tensor) -> Tensor:
        """B x C x h x w in and out."""
        return F.leaky_relu(super().forward(x), SLOPE)


class HrNet(Body):
    """An HRNet of four stages whose branches begin at a quarter of the image."""

    def __init__(self, width: int = 48, first: int = 256) -> None:
        """Builds it.

        Args:
            width: channels of the finest branch.
            first: channels of the first stage.
        """
        stages = [Stage(modules, 4, doubling(width, k + 2)) for k, modules in enumerate((1, 4, 3))]
        super().__init__([first], stages, first=2, align_corners=True)
        self.conv1, self.bn1 = conv_norm(3, STEM, stride=2)
        self.conv2, self.bn2 = conv_norm(STEM, STEM, stride=2)
        self.layer1 = bottlenecks(STEM, first, 4)

    def forward(self, x: Tensor) -> list[Tensor]:
        """B x 3 x H x W; returns branches from the finest on."""
        x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return self.stages([self.layer1(x)])


class HrNet2x(Body):
    """An HRNet whose branches begin at half of the image, with two of them in its first stage."""

    def __init__(self, width: int = 20, first: int = 128) -> None:
        """Builds it.

        Args:
            width: channels of the finest branch from the second stage on.
            first: channels of the finest branch of the first stage.
        """
        stages = [Stage(modules, 4, doubling(width, k + 3)) for k, modules in enumerate((1, 4, 3))]
        super().__init__([STEM], [Stage(1, 4, doubling(first, 2), True), *stages], first=1, align_corners=True)
        self.conv1, self.bn1 = conv_norm(3, STEM, stride=2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """B x 3 x H x W; returns branches from the finest on."""
        return self.stages([F.relu(self.bn1(self.conv1(x)))])


BACKBONES: dict[str, type[HrNet] | type[HrNet2x]] = {"hrnet48": HrNet, "hrnet2x20": HrNet2x}


class SegFixNetwork(nn.Module):
    """All of SegFix's network."""

    def __init__(self, backbone: HrNet | HrNet2x) -> None:
        super().__init__()
        self.backbone = backbone
        channels = sum(backbone.widths)
        self.mask_head, self.dir_head = (_head(channels, out) for out in (2, DIRECTIONS))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Where boundaries are, and which way is inward.

        Args:
            x: B x 3 x H x W, normalized BGR.

        Returns:
            B x 2 x h x w logits of no boundary and boundary, and B x 8 x h x w of the directions, at a quarter or half
            of the image's size.
        """
        features = joined(self.backbone(x), align_corners=True)
        return self.mask_head(features), self.dir_head(features)


def _head(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, HIDDEN, 1, bias=False), LeakyNorm(HIDDEN), nn.Conv2d(HIDDEN, out, 1, bias=False)
    )


def with_plain_norms(state: StateDict) -> StateDict:
    """A state dict of in-place normalizations as one of ordinary ones.

    Their gain is |weight| + 1e-5, and they count no batches.
    """
    found = dict(state)
    for key in state:
        if key.endswith(".running_mean"):
            name = key.removesuffix(".running_mean")
            if f"{name}.weight" in state:
                found[f"{name}.weight"] = state[f"{name}.weight"].abs() + SMALLEST_GAIN
            found.setdefault(f"{name}.num_batches_tracked", torch.tensor(0))
    return found


def starts(length: int, window: int, stride: int) -> Sequence[int]:
    """Where windows begin along a side; the last one ends with it.

    >>> starts(1000, 512, 170), starts(300, 512, 170)
    ([0, 170, 340, 488], [0])
    """
    last = max(length - window, 0)
    return [*range(0, last, stride), last]
