"""HRNet, the backbone of BPR and SegFix: branches of several resolutions that exchange what they find.

Module names are the official state dicts' keys. Blocks are torchvision's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck

STEM = 64


@dataclass(frozen=True)
class Stage:
    """Modules in a row with the same branches.

    Attributes:
        modules: of the stage.
        blocks: of each branch of a module.
        widths: channels of each branch, from the finest.
        bottleneck: whether blocks are bottlenecks.
    """

    modules: int
    blocks: int
    widths: tuple[int, ...]
    bottleneck: bool = False


def doubling(width: int, branches: int) -> tuple[int, ...]:
    """Channels that double from branch to branch.

    >>> doubling(18, 3)
    (18, 36, 72)
    """
    return tuple(width * 2**k for k in range(branches))


class Body(nn.Module):
    """The stages of an HRNet and what leads from one to the next; subclasses put a stem before them."""

    def __init__(self, channels: Sequence[int], stages: Sequence[Stage], first: int, align_corners: bool) -> None:
        """Builds them with random weights.

        Args:
            channels: of the branches that come in.
            stages: in order.
            first: number of the first stage.
            align_corners: how branches are resized.
        """
        super().__init__()
        self.numbers = range(first, first + len(stages))
        self.widths = stages[-1].widths
        for number, stage in zip(self.numbers, stages, strict=True):
            self.add_module(f"transition{number - 1}", Transition(channels, stage.widths))
            modules = [Exchange(stage, align_corners) for _ in range(stage.modules)]
            self.add_module(f"stage{number}", nn.Sequential(*modules))
            channels = stage.widths

    def stages(self, branches: list[Tensor]) -> list[Tensor]:
        """B x C x h x w tensors, from the finest, in and out."""
        for number in self.numbers:
            branches = self.get_submodule(f"transition{number - 1}")(branches)
            branches = self.get_submodule(f"stage{number}")(branches)
        return branches


class Transition(nn.ModuleList):
    """Branches of a stage from those of the one before; where nothing changes there is no module of its own."""

    def __init__(self, before: Sequence[int], after: Sequence[int]) -> None:
        super().__init__()
        for k, width in enumerate(after):
            if k < len(before):
                self.append(
                    nn.Identity() if before[k] == width else nn.Sequential(*conv_norm(before[k], width), nn.ReLU())
                )
                continue
            # The last branch, halved as often as it takes.
            widths = [*[before[-1]] * (k + 1 - len(before)), width]
            steps = [
                nn.Sequential(*conv_norm(channels, out, stride=2), nn.ReLU()) for channels, out in pairwise(widths)
            ]
            self.append(nn.Sequential(*steps))

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """As many branches as the next stage has."""
        return [module(branches[min(k, len(branches) - 1)]) for k, module in enumerate(self)]


class Exchange(nn.Module):
    """Blocks on each branch, then each branch becomes the sum of all."""

    def __init__(self, stage: Stage, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.branches = nn.ModuleList(
            nn.Sequential(*[block(width, width, stage.bottleneck) for _ in range(stage.blocks)])
            for width in stage.widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchanged(stage.widths, target, source) for source in range(len(stage.widths)))
            for target in range(len(stage.widths))
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """B x C x h x w tensors in and out."""
        found = [module(x) for module, x in zip(self.branches, branches, strict=True)]
        return [F.relu(self._fused(layers, found, target)) for target, layers in enumerate(self.fuse_layers)]

    def _fused(self, layers: nn.Module, found: list[Tensor], target: int) -> Tensor:
        size = found[target].shape[-2:]
        total: Tensor | None = None
        for layer, x in zip(layers.children(), found, strict=True):
            moved = layer(x)
            if moved.shape[-2:] != size:
                moved = F.interpolate(moved, size=size, mode="bilinear", align_corners=self.align_corners)
            total = moved if total is None else total + moved
        assert total is not None
        return total


def _exchanged(widths: Sequence[int], target: int, source: int) -> nn.Module:
    """What moves a branch to the resolution of another; coarser ones are resized after it."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(*conv_norm(widths[source], widths[target], kernel=1))
    steps: list[nn.Module] = []
    for k in range(target - source):
        last = k == target - source - 1
        out = widths[target] if last else widths[source]
        steps.append(nn.Sequential(*conv_norm(widths[source], out, stride=2), *([] if last else [nn.ReLU()])))
    return nn.Sequential(*steps)


def conv_norm(channels: int, out: int, kernel: int = 3, stride: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """A convolution without bias and its normalization."""
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out)


def block(channels: int, width: int, bottleneck: bool) -> nn.Module:
    """A residual block from `channels` to `width` channels."""
    if not bottleneck:
        basic: nn.Module = BasicBlock(channels, width)
        return basic
    downsample = None if channels == width else nn.Sequential(*conv_norm(channels, width, kernel=1))
    narrow: nn.Module = Bottleneck(channels, width // Bottleneck.expansion, downsample=downsample)
    return narrow


def bottlenecks(channels: int, width: int, count: int) -> nn.Sequential:
    """So many bottlenecks, the first from `channels` to `width` channels."""
    return nn.Sequential(*[block(channels if k == 0 else width, width, bottleneck=True) for k in range(count)])


def joined(branches: Sequence[Tensor], align_corners: bool) -> Tensor:
    """All branches at the size of the finest, side by side: B x sum of channels x h x w."""
    size = branches[0].shape[-2:]
    coarser = [F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners) for x in branches[1:]]
    return torch.cat([branches[0], *coarser], dim=1)
