"""SOLOv2's heads: each grid cell's class and kernel, and the features that kernels are applied to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONVS = 4
PRIOR = 0.01  # probability of a class in a cell at the start, so that focal loss does not drown in background


class GridHead(nn.Module):
    """For each cell of a grid, class scores and a kernel, from the same pyramid level."""

    def __init__(self, channels: int, width: int, classes: int, kernel: int) -> None:
        """Builds both branches.

        Args:
            channels: of the pyramid.
            width: of the branches.
            classes: without background.
            kernel: numbers of a kernel, the channels of the mask features.
        """
        super().__init__()
        self.kernel_tower = _tower(channels + 2, width)
        self.class_tower = _tower(channels, width)
        self.kernel = nn.Conv2d(width, kernel, 3, padding=1)
        self.classify = nn.Conv2d(width, classes, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        assert self.classify.bias is not None
        nn.init.constant_(self.classify.bias, -torch.log(torch.tensor((1 - PRIOR) / PRIOR)).item())

    def forward(self, features: Tensor, grid: int) -> tuple[Tensor, Tensor]:
        """Scores N x classes x grid x grid before the sigmoid, and kernels N x kernel x grid x grid."""
        placed = _resized(with_coordinates(features), (grid, grid))
        kernels = self.kernel(self.kernel_tower(placed))
        scores = self.classify(self.class_tower(placed[:, :-2]))
        return scores, kernels


class MaskFeatures(nn.Module):
    """The pyramid joined at the finest level, a quarter of the image's size."""

    def __init__(self, channels: int, middle: int, kernel: int, levels: int = 4) -> None:
        """Builds the branches.

        Args:
            channels: of the pyramid.
            middle: of the branches.
            kernel: channels of the result.
            levels: of the pyramid that are joined, the finest first.
        """
        super().__init__()
        self.branches = nn.ModuleList()
        for level in range(levels):
            # The coarsest level knows where it is.
            inputs = channels + 2 if level == levels - 1 else channels
            steps = [_block(inputs if step == 0 else middle, middle) for step in range(max(1, level))]
            self.branches.append(nn.ModuleList(steps))
        self.join = nn.Sequential(nn.Conv2d(middle, kernel, 1, bias=False), _norm(kernel), nn.ReLU())

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """N x kernel x h x w, of the size of the finest level."""
        total = None
        for level, (branch, features) in enumerate(zip(self.branches, pyramid, strict=True)):
            features = with_coordinates(features) if level == len(self.branches) - 1 else features
            assert isinstance(branch, nn.ModuleList)
            for number, block in enumerate(branch):
                features = block(features)
                if level > 0:
                    finer = pyramid[level - number - 1].shape[-2:]
                    features = _resized(features, (finer[0], finer[1]))
            total = features if total is None else total + features
        joined: Tensor = self.join(total)
        return joined


def with_coordinates(features: Tensor) -> Tensor:
    """N x C x h x w features with two more channels: x and y of each place, from -1 to 1."""
    count, _, height, width = features.shape
    x = torch.linspace(-1, 1, width, device=features.device, dtype=features.dtype)
    y = torch.linspace(-1, 1, height, device=features.device, dtype=features.dtype)
    grid = torch.stack([x[None].expand(height, width), y[:, None].expand(height, width)])
    return torch.cat([features, grid.expand(count, 2, height, width)], dim=1)


def _tower(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(*(_block(inputs if step == 0 else width, width) for step in range(CONVS)))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), _norm(outputs), nn.ReLU())


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(32, channels), channels)


def _resized(features: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)
