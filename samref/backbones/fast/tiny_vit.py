"""TinyViT, MobileSAM's and light HQ-SAM's encoder, rearranged for inference.

The packaged module normalizes after every convolution and moves between channels-first and channels-last. Here, batch
norms are part of the convolutions before them, everything is channels-last (a 1 x 1 convolution is then a matrix
product), and on a processor large layers go strip by strip, so that what lies between two of their operations stays in
the cache. It is the same function: results differ from the packaged module's by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from segment_anything.modeling.image_encoder import window_partition, window_unpartition
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

# What lies between two operations of a processor's core stays about this small, and in its cache.
NUMBERS_PER_THREAD = 1 << 20


class Plan(NamedTuple):
    """How TinyViT is computed.

    Attributes:
        numbers: how many may lie between two operations; None: any.
    """

    numbers: int | None

    @classmethod
    def of(cls, device: torch.device) -> Plan:
        """What suits a device: strips for a processor's caches, all at once for an accelerator."""
        return cls(NUMBERS_PER_THREAD * torch.get_num_threads() if device.type == "cpu" else None)

    def strip(self, count: int, numbers: int) -> int:
        """How many of `count` things are worked on at once, each of which needs so many numbers."""
        return count if self.numbers is None else min(count, max(1, self.numbers // numbers))


class FusedTinyViT(nn.Module):
    """The weights of a packaged `TinyViT`, in the order in which they are used; made again when weights change."""

    def __init__(self, encoder: Any, dtype: torch.dtype, plan: Plan) -> None:
        """Fuses the weights.

        Args:
            encoder: `TinyViT` of `segment_anything_hq`, in evaluation mode.
            dtype: of products; norms stay in float32.
            plan: how it is computed.
        """
        super().__init__()
        first, _, second = encoder.patch_embed.seq
        self.embed = nn.ModuleList([convolution(first), convolution(second)])
        self.stages = nn.ModuleList(nn.Sequential(*_stage(layer, plan)) for layer in encoder.layers)
        self.neck = Neck(encoder.neck)
        cast_products(self, dtype)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes preprocessed images.

        Args:
            pixels: B x 3 x S x S.

        Returns:
            B x C x h x w features, and the B x h x w x C'' output of the second stage.
        """
        first, second = self.embed
        cells = second(F.gelu(first(pixels.permute(0, 2, 3, 1).contiguous())))
        outputs = []
        for stage in self.stages:
            cells = stage(cells)
            outputs.append(cells)
        return self.neck(cells), outputs[1]


class Products(nn.Module):
    """A module whose own buffers are factors of products, which may be of half precision."""


def cast_products(module: nn.Module, dtype: torch.dtype) -> None:
    """Casts what is multiplied by inside a module; norms stay as they are."""
    for part in module.modules():
        if isinstance(part, Products):
            for name, buffer in part.named_buffers(recurse=False):
                setattr(part, name, buffer.to(dtype))


class Neck(nn.Module):
    """From the last cells to SAM's embedding; ViT's is the same."""

    def __init__(self, layers: Any) -> None:
        """Takes the packaged layers: convolution, norm, convolution, norm, no bias before a norm."""
        super().__init__()
        project, self.first_norm, mix, self.second_norm = layers
        self.project, self.mix = Linear(project.weight.flatten(1), None), Convolution(mix.weight.detach(), None, mix)

    def forward(self, cells: Tensor) -> Tensor:
        """B x h x w x C' cells -> B x C x h x w features."""
        projected = layer_norm(self.project(cells), self.first_norm)
        return layer_norm(self.mix(projected), self.second_norm).permute(0, 3, 1, 2).contiguous()


class Convolution(Products):
    """A convolution of channels-last cells."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, layer: Any) -> None:
        """Keeps the weights, and the geometry of a layer."""
        super().__init__()
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self.stride, self.padding, self.groups = layer.stride, layer.padding, layer.groups

    def forward(self, cells: Tensor, padded_rows: bool = False) -> Tensor:
        """B x H x W x C -> B x H' x W' x C'; with `padded_rows`, rows of padding are part of the input."""
        padding = (0, self.padding[1]) if padded_rows else self.padding
        images = cells.permute(0, 3, 1, 2).to(self.weight.dtype)
        mixed = F.conv2d(images, self.weight, self.bias, self.stride, padding, groups=self.groups)
        return mixed.permute(0, 2, 3, 1)


def convolution(pair: Any) -> Convolution:
    """A packaged `Conv2d_BN`, its batch norm folded in."""
    return Convolution(*_folded(pair), pair.c)


class Linear(Products):
    """A frozen `x W' + b` of channels-last cells."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Keeps the weights, C' x C, and the bias, C'."""
        super().__init__()
        self.register_buffer("weight", weight.detach())
        self.register_buffer("bias", None if bias is None else bias.detach())

    def forward(self, cells: Tensor) -> Tensor:
        """... x C -> ... x C'."""
        return F.linear(cells.to(self.weight.dtype), self.weight, self.bias)


def pointwise(pair: Any) -> Linear:
    """A packaged `Conv2d_BN` with a 1 x 1 kernel, its batch norm folded in."""
    weight, bias = _folded(pair)
    return Linear(weight.flatten(1), bias)


def _folded(pair: Any) -> tuple[Tensor, Tensor]:
    norm = pair.bn
    weight, bias = fuse_conv_bn_weights(
        pair.c.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return weight.detach(), bias.detach()


class InvertedBottleneck(nn.Module):
    """A packaged `MBConv`: four times the channels in between, never of the full image at once."""

    def __init__(self, block: Any, plan: Plan) -> None:
        """Fuses the weights."""
        super().__init__()
        self.plan = plan
        self.expand, self.mix, self.reduce = pointwise(block.conv1), convolution(block.conv2), pointwise(block.conv3)

    def forward(self, cells: Tensor) -> Tensor:
        """B x H x W x C -> B x H x W x C."""
        batch, height, width, _ = cells.shape
        size = self.plan.strip(height, batch * width * len(self.expand.weight))
        return torch.cat([self._rows(cells, start, min(start + size, height)) for start in range(0, height, size)], 1)

    def _rows(self, cells: Tensor, start: int, stop: int) -> Tensor:
        height = cells.shape[1]
        hidden = F.gelu(self.expand(cells[:, max(start - 1, 0) : min(stop + 1, height)]))
        above, below = int(start == 0), int(stop == height)
        if above or below:
            hidden = F.pad(hidden, (0, 0, 0, 0, above, below))
        return F.gelu(self.reduce(F.gelu(self.mix(hidden, padded_rows=True))) + cells[:, start:stop])


class Merging(nn.Module):
    """A packaged `PatchMerging`: other channels, and in all stages but one half the rows and columns."""

    def __init__(self, merging: Any) -> None:
        """Fuses the weights."""
        super().__init__()
        self.first, self.mix, self.last = pointwise(merging.conv1), convolution(merging.conv2), pointwise(merging.conv3)

    def forward(self, cells: Tensor) -> Tensor:
        """B x H x W x C -> B x H' x W' x C'."""
        merged: Tensor = self.last(F.gelu(self.mix(F.gelu(self.first(cells)))))
        return merged


class Block(Products):
    """A packaged `TinyViTBlock`: attention in windows, a depthwise convolution, two layers for each cell."""

    bias: Tensor

    def __init__(self, block: Any, plan: Plan) -> None:
        """Expands the attention biases and fuses the convolution."""
        super().__init__()
        self.plan, attention, mlp = plan, block.attn, block.mlp
        self.window: int = block.window_size
        self.heads: int = attention.num_heads
        self.sizes, self.scale = (attention.key_dim, attention.key_dim, attention.d), attention.scale
        self.attention_norm, self.mlp_norm = attention.norm, mlp.norm
        self.qkv, self.proj, self.expand, self.reduce = (
            Linear(layer.weight, layer.bias) for layer in (attention.qkv, attention.proj, mlp.fc1, mlp.fc2)
        )
        self.mix = convolution(block.local_conv)
        bias = attention.attention_biases[:, attention.attention_bias_idxs]
        self.register_buffer("bias", bias.detach().contiguous())

    def forward(self, cells: Tensor) -> Tensor:
        """B x H x W x C -> B x H x W x C."""
        windows, padded = window_partition(cells, self.window)
        attended = self._in_groups(self._attend, windows.flatten(1, 2), len(self.qkv.weight))
        merged = window_unpartition(attended, self.window, padded, cells.shape[1:3])
        cells = self.mix(cells + merged)
        return self._in_groups(self._feed_forward, cells.flatten(0, 2)[:, None], len(self.expand.weight)).view(
            cells.shape
        )

    def _in_groups(self, function: Callable[[Tensor], Tensor], windows: Tensor, channels: int) -> Tensor:
        """Applies a function to N x T x C, group by group of the first axis; in between it has so many channels."""
        size = self.plan.strip(len(windows), windows.shape[1] * channels)
        return torch.cat([function(group) for group in torch.split(windows, size)])

    def _attend(self, windows: Tensor) -> Tensor:
        """N x T x C -> N x T x C."""
        parts = (
            self.qkv(layer_norm(windows, self.attention_norm)).unflatten(2, (self.heads, -1)).split(self.sizes, dim=3)
        )
        query, key, value = (part.transpose(1, 2) for part in parts)
        attended = F.scaled_dot_product_attention(query, key, value, self.bias[None], scale=self.scale)
        projected: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return projected

    def _feed_forward(self, cells: Tensor) -> Tensor:
        mixed: Tensor = self.reduce(F.gelu(self.expand(layer_norm(cells, self.mlp_norm)))) + cells
        return mixed


def _stage(layer: Any, plan: Plan) -> Iterator[nn.Module]:
    for block in layer.blocks:
        yield Block(block, plan) if hasattr(block, "attn") else InvertedBottleneck(block, plan)
    if layer.downsample is not None:
        yield Merging(layer.downsample)


def layer_norm(cells: Tensor, norm: Any) -> Tensor:
    """A packaged `LayerNorm` or `LayerNorm2d`, on channels-last cells: float32."""
    return F.layer_norm(cells.float(), norm.weight.shape, norm.weight, norm.bias, norm.eps)
