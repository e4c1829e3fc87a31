"""SegRefiner's denoising network: a UNet with residual blocks, attention at its two coarsest levels and learned times.

Module names are the official state dict's keys.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from samref.refiners.segrefiner.diffusion import TIMES

WIDTH = 128
MULTIPLES = (1, 1, 2, 2, 4, 4)
BLOCKS = 2
# Levels, from the finest, at which positions attend to each other: 16 and 32 px.
ATTENTION = (4, 5)
HEADS = 4
GROUPS = 32
STRIDE = 2 ** (len(MULTIPLES) - 1)


class Norm(nn.GroupNorm):
    """Group normalization in single precision, whatever the precision of its input."""

    def __init__(self, channels: int) -> None:
        super().__init__(GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        """B x C x ... of any floating type; returns the same type."""
        return super().forward(x.float()).type(x.dtype)


class ResBlock(nn.Module):
    """Two convolutions around the time's embedding, beside a skip connection."""

    def __init__(self, channels: int, out: int, embedded: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(Norm(channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedded, out))
        # The identity stands where training drops out.
        self.out_layers = nn.Sequential(Norm(out), nn.SiLU(), nn.Identity(), nn.Conv2d(out, out, 3, padding=1))
        self.skip_connection = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """B x C x h x w and B x E; returns B x out x h x w."""
        h = self.in_layers(x) + self.emb_layers(embedding)[:, :, None, None]
        result: Tensor = self.skip_connection(x) + self.out_layers(h)
        return result


class Attention(nn.Module):
    """Self-attention over all positions; the channels are split by head first, then into query, key and value."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = Norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """B x C x h x w in and out."""
        flat = x.flatten(2)
        heads = self.qkv(self.norm(flat)).unflatten(1, (HEADS, -1)).transpose(2, 3)
        mixed = F.scaled_dot_product_attention(*heads.chunk(3, dim=-1))
        attended: Tensor = flat + self.proj_out(mixed.transpose(2, 3).flatten(1, 2))
        return attended.reshape(x.shape)


class Down(nn.Module):
    """Halves height and width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """B x C x h x w; returns B x C x h/2 x w/2."""
        halved: Tensor = self.op(x)
        return halved


class Up(nn.Module):
    """Doubles height and width."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """B x C x h x w; returns B x C x 2h x 2w."""
        doubled: Tensor = self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        return doubled


class Block(nn.Sequential):
    """Layers in a row, of which residual blocks see the time's embedding."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:  # type: ignore[override]
        """B x C x h x w and B x E; returns what the last layer does."""
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, ResBlock) else layer(x)
        return x


class DenoisingUNet(nn.Module):
    """Logits of the fine mask from an image, a mask in between the coarse and the fine one, and how far in between."""

    def __init__(self, width: int = WIDTH) -> None:
        """Builds the network with random weights.

        Args:
            width: channels of the finest level, a multiple of 32.
        """
        super().__init__()
        embedded = 4 * width
        widths = [width * multiple for multiple in MULTIPLES]
        self.time_embed = nn.Embedding(TIMES, embedded)
        self.input_blocks = nn.ModuleList([Block(nn.Conv2d(4, width, 3, padding=1)), *_encoder(widths, embedded)])
        self.middle_block = Block(
            ResBlock(widths[-1], widths[-1], embedded),
            Attention(widths[-1]),
            ResBlock(widths[-1], widths[-1], embedded),
        )
        self.output_blocks = nn.ModuleList(_decoder(widths, embedded))
        self.out = nn.Sequential(Norm(width), nn.SiLU(), nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Logits of the fine mask.

        Args:
            x: B x 4 x h x w float: normalized RGB, then the mask as 0 and 1; h and w are multiples of 32.
            t: B int64, 0 to 5.

        Returns:
            B x 1 x h x w.
        """
        embedding = self.time_embed(t)
        skipped: list[Tensor] = []
        for block in self.input_blocks:
            x = block(x, embedding)
            skipped.append(x)
        x = self.middle_block(x, embedding)
        for block in self.output_blocks:
            x = block(torch.cat([x, skipped.pop()], dim=1), embedding)
        logits: Tensor = self.out(x)
        return logits


def _encoder(widths: list[int], embedded: int) -> Iterator[Block]:
    channels = widths[0]
    for level, width in enumerate(widths):
        for _ in range(BLOCKS):
            yield Block(ResBlock(channels, width, embedded), *([Attention(width)] if level in ATTENTION else []))
            channels = width
        if level < len(widths) - 1:
            yield Block(Down(width))


def _decoder(widths: list[int], embedded: int) -> Iterator[Block]:
    # What the encoder leaves, in order: its first convolution, then each level's blocks and what halves them.
    skipped = [widths[0]]
    for level, width in enumerate(widths):
        skipped += [width] * (BLOCKS + (level < len(widths) - 1))
    channels = widths[-1]
    for level in reversed(range(len(widths))):
        for place in range(BLOCKS + 1):
            layers: list[nn.Module] = [ResBlock(channels + skipped.pop(), widths[level], embedded)]
            channels = widths[level]
            if level in ATTENTION:
                layers.append(Attention(channels))
            if level and place == BLOCKS:
                layers.append(Up(channels))
            yield Block(*layers)
