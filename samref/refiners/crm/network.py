"""CRM's network: features of image and mask together, read off at any place by an implicit function.

Module names are the official state dict's keys. A large image need not be in the network at once: what a feature
depends on ends 133 px away, so that tiles with such a margin give the same features.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet50

CHANNELS = 256
HIDDEN = 32
# Where a query lies relative to its feature and in the image, and how large a pixel is: two numbers each.
PLACE = 6
# Of the features, px.
STRIDES = (2, 4, 8)
# Reduced features see no farther than 133 px: 3 of the first convolution, 2 of pooling, 12, 28 and 88 of the stages.
# Rounded up to a stride.
MARGIN = 136
# Features computed at once in the last convolution.
BAND = 1 << 18


class Features(nn.Module):
    """ResNet-50 to its third stage, on image and mask, with strides of 2, 4 and 8."""

    def __init__(self) -> None:
        super().__init__()
        complete = resnet50(weights=None, replace_stride_with_dilation=(False, True, True))
        self.conv1 = nn.Conv2d(4, 64, 7, stride=2, padding=3, bias=False)
        self.bn1, self.relu, self.maxpool = complete.bn1, complete.relu, complete.maxpool
        self.layer1, self.layer2, self.layer3 = complete.layer1, complete.layer2, complete.layer3

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """1 x 4 x h x w; returns 64, 256 and 1024 channels at a half, a quarter and an eighth of it, rounded up."""
        first = self.relu(self.bn1(self.conv1(x)))
        second = self.layer1(self.maxpool(first))
        return first, second, self.layer3(self.layer2(second))


class Branch(nn.Module):
    """A pointwise convolution and the first of two normalizations."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.atrous_conv = nn.Conv2d(channels, out, 1, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """1 x C x h x w; returns 1 x out x h x w."""
        return F.relu(self.bn(self.atrous_conv(x)))


class Fusion(nn.Module):
    """Features of three strides as one map of the finest."""

    def __init__(self) -> None:
        super().__init__()
        self.aspp1_128, self.bn1_128 = Branch(64, 64), nn.BatchNorm2d(64)
        self.aspp1_256, self.bn1_256 = Branch(256, 64), nn.BatchNorm2d(64)
        self.aspp1_1024, self.bn1_1024 = Branch(1024, 128), nn.BatchNorm2d(128)
        self.last_conv = nn.Sequential(
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False), nn.BatchNorm2d(CHANNELS)
        )

    def reduce(self, levels: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Each level with fewer channels: 64, 64 and 128."""
        first, second, third = levels
        return (
            F.relu(self.bn1_128(self.aspp1_128(first))),
            F.relu(self.bn1_256(self.aspp1_256(second))),
            F.relu(self.bn1_1024(self.aspp1_1024(third))),
        )

    def fuse(self, levels: tuple[Tensor, Tensor, Tensor]) -> Iterator[Tensor]:
        """The features of reduced levels, 1 x 256 x rows x w, band by band from the top."""
        height, width = levels[0].shape[-2:]
        step = max(1, BAND // width)
        for start in range(0, height, step):
            stop = min(start + step, height)
            # One more row on either side, for the convolution.
            top, bottom = max(start - 1, 0), min(stop + 1, height)
            parts = [levels[0][:, :, top:bottom], *(_resized(x, top, bottom, (height, width)) for x in levels[1:])]
            band = F.relu(self.last_conv(torch.cat(parts, dim=1)))
            yield band[:, :, start - top : start - top + stop - start]


class Decoder(nn.Module):
    """A perceptron from a feature and a place to a logit."""

    def __init__(self) -> None:
        super().__init__()
        widths = [CHANNELS + PLACE, *[HIDDEN] * 4]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(HIDDEN, 1))

    @property
    def first(self) -> nn.Linear:
        """The layer that sees features and places."""
        layer = self.layers[0]
        assert isinstance(layer, nn.Linear)
        return layer


class CrmNetwork(nn.Module):
    """All of CRM's network."""

    def __init__(self) -> None:
        super().__init__()
        self.feats = Features()
        self.aspp_ = Fusion()
        self.imnet = Decoder()

    def features(self, x: Tensor, tile: int | None = None) -> Iterator[Tensor]:
        """Feature maps at half the size of an image, rounded up: 1 x 256 x rows x w, band by band from the top.

        Args:
            x: 1 x 4 x H x W, normalized RGB and the mask from -1 to 1.
            tile: px of the image in the network at once, beside a margin; None: all.
        """
        yield from self.aspp_.fuse(self._levels(x, tile))

    def _levels(self, x: Tensor, tile: int | None) -> tuple[Tensor, Tensor, Tensor]:
        height, width = x.shape[-2:]
        if tile is None or max(height, width) <= tile:
            return self.aspp_.reduce(self.feats(x))
        found: tuple[Tensor, ...] = ()
        for top in range(0, height, tile):
            for left in range(0, width, tile):
                above, before = max(top - MARGIN, 0), max(left - MARGIN, 0)
                part = x[:, :, above : top + tile + MARGIN, before : left + tile + MARGIN]
                reduced = self.aspp_.reduce(self.feats(part))
                found = found or tuple(
                    level.new_empty(1, level.shape[1], -(-height // stride), -(-width // stride))
                    for level, stride in zip(reduced, STRIDES, strict=True)
                )
                for full, level, stride in zip(found, reduced, STRIDES, strict=True):
                    side = tile // stride
                    target = full[:, :, top // stride :, left // stride :][:, :, :side, :side]
                    source = level[:, :, (top - above) // stride :, (left - before) // stride :]
                    target.copy_(source[:, :, : target.shape[2], : target.shape[3]])
        return found[0], found[1], found[2]


def _resized(x: Tensor, top: int, bottom: int, size: tuple[int, int]) -> Tensor:
    """Rows `top` to `bottom` of x after bilinear resizing to a size with aligned corners."""
    height = x.shape[2]
    where = torch.arange(top, bottom, device=x.device) * ((height - 1) / max(size[0] - 1, 1))
    low = where.long().clamp(max=height - 1)
    share = (where - low).to(x.dtype)[:, None]
    rows = torch.lerp(x[:, :, low], x[:, :, (low + 1).clamp(max=height - 1)], share)
    return F.interpolate(rows, size=(bottom - top, size[1]), mode="bilinear", align_corners=True)
