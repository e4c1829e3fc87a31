"""SAM's ViT encoder with its attention computed in place: no table of all pairs of cells is ever kept.

A global layer of the packaged module writes 4096 x 4096 scores for each head, adds two positional terms to all of them,
and reads them again for the softmax. Here the scores live inside `scaled_dot_product_attention`, in one of two ways:

* chunked: it is given their positional part, of as many query rows at a time as fit a budget;
* appended: the positional part is a product, too. With `q' = [scale q, by_row, by_column]` and
  `k' = [k, one-hot row, one-hot column]`, `q' . k'` is the score, and a fused kernel that knows no bias can be used.

Both are the same function as the packaged module; results differ by rounding. Weights are cast once; norms, sums of
layers and softmax stay in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling.image_encoder import window_partition, window_unpartition
from torch import Tensor, nn
from torch.nn import functional as F

from samref.backbones.fast.tiny_vit import Convolution, Linear, Neck, Products, cast_products, layer_norm

# Bytes of positional terms at once: what a processor's core has cached, and little of an accelerator's memory.
BYTES_PER_THREAD = 4 << 20
BYTES_ON_ACCELERATOR = 512 << 20
# Heads and tables whose sizes are multiples of this are read by fused kernels as they are.
ALIGNED = 8


class FastViT(nn.Module):
    """A packaged `ImageEncoderViT`, SAM's or HQ-SAM's; made again when weights change."""

    def __init__(self, encoder: Any, dtype: torch.dtype, device: torch.device) -> None:
        """Casts the weights.

        Args:
            encoder: `ImageEncoderViT` of `segment_anything` or `segment_anything_hq`.
            dtype: of products; float32 shares the packaged module's weights.
            device: what the attention is chosen for.
        """
        super().__init__()
        patches = encoder.patch_embed.proj
        self.embed = Convolution(patches.weight.detach(), patches.bias.detach(), patches)
        self.register_buffer("positions", None if encoder.pos_embed is None else encoder.pos_embed.detach())
        self.blocks = nn.ModuleList(Block(block, dtype, device) for block in encoder.blocks)
        self.neck = Neck(encoder.neck)
        cast_products(self, dtype)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes preprocessed images.

        Args:
            pixels: B x 3 x S x S float32.

        Returns:
            B x C x h x w features, and the B x h x w x C'' output of the first layer with global attention.
        """
        cells = self.embed(pixels.permute(0, 2, 3, 1)).float()
        if self.positions is not None:
            cells = cells + self.positions
        early = None
        for block in self.blocks:
            cells = block(cells)
            if early is None and block.window == 0:
                early = cells
        return self.neck(cells), cells if early is None else early


class Block(nn.Module):
    """A packaged `Block`: attention, in windows or over the image, and two layers for each cell."""

    def __init__(self, block: Any, dtype: torch.dtype, device: torch.device) -> None:
        """Takes the weights, and chooses the way positions go into the attention."""
        super().__init__()
        self.window: int = block.window_size
        self.attention_norm, self.mlp_norm = block.norm1, block.norm2
        appended, budget = appends_positions(dtype, device, self.window), positional_budget(device)
        self.attention = Attention(block.attn, appended, budget)
        self.expand, self.reduce = (Linear(layer.weight, layer.bias) for layer in (block.mlp.lin1, block.mlp.lin2))

    def forward(self, cells: Tensor) -> Tensor:
        """B x H x W x C -> B x H x W x C."""
        # In windows, cells are copied: in the type in which they are multiplied.
        cells = cells + self._attended(layer_norm(cells, self.attention_norm).to(self.expand.weight.dtype))
        mixed: Tensor = self.reduce(F.gelu(self.expand(layer_norm(cells, self.mlp_norm))))
        return cells + mixed

    def _attended(self, cells: Tensor) -> Tensor:
        if self.window == 0:
            attended: Tensor = self.attention(cells)
            return attended
        windows, padded = window_partition(cells, self.window)
        merged: Tensor = window_unpartition(self.attention(windows), self.window, padded, cells.shape[1:3])
        return merged


class Attention(Products):
    """A packaged `Attention`, with or without decomposed relative positions."""

    rows: Tensor
    columns: Tensor
    places: Tensor

    def __init__(self, attention: Any, appended: bool, budget: int) -> None:
        """Takes the weights.

        Args:
            attention: a packaged `Attention`.
            appended: whether positions are appended to the heads, rather than added to the scores.
            budget: bytes of positional terms at once where they are added; one row of queries is computed in any case.
        """
        super().__init__()
        self.heads, self.scale = int(attention.num_heads), float(attention.scale)
        self.relative, self.appended, self.budget = bool(attention.use_rel_pos), appended, budget
        self.qkv, self.proj = (Linear(layer.weight, layer.bias) for layer in (attention.qkv, attention.proj))
        if self.relative:
            rows, columns = attention.rel_pos_h.detach(), attention.rel_pos_w.detach()
            if appended:
                self.register_buffer("places", one_hot_places(len(rows) // 2 + 1, len(columns) // 2 + 1).to(rows))
                # The kernel multiplies all of a score by the scale.
                rows, columns = (by_position(table / self.scale) for table in (rows, columns))
            self.register_buffer("rows", rows)
            self.register_buffer("columns", columns)

    def forward(self, cells: Tensor) -> Tensor:
        """B x H x W x C -> B x H x W x C."""
        batch, height, width, _ = cells.shape
        # 3 x B x heads x T x S, over T = H * W cells of size S.
        parts = self.qkv(cells).view(batch, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        merged = self._attended(parts, (height, width)).transpose(1, 2).reshape(cells.shape)
        projected: Tensor = self.proj(merged)
        return projected

    def _attended(self, parts: Tensor, grid: tuple[int, int]) -> Tensor:
        """3 x B x heads x T x S queries, keys and values -> B x heads x T x S."""
        if self.relative and self.appended:
            # Heads stay where they are: the appended ones are copies anyway.
            query, key, value = parts.unbind(0)
            by_row, by_column = products_with(query.reshape(*query.shape[:2], *grid, -1), self.rows, self.columns)
            return appended_attention(query, key, value, by_row, by_column, self.places, self.scale)
        query, key, value = parts.flatten(1, 2).unbind(0)
        if self.relative:
            by_row, by_column = positional_terms(query.reshape(len(query), *grid, -1), self.rows, self.columns)
            found = chunked_attention(query, key, value, by_row, by_column, self.scale, self.budget)
        else:
            found = _attention(query[:, None], key[:, None], value[:, None], self.scale, None)[:, 0]
        return found.view(*parts.shape[1:3], *found.shape[1:])


def appends_positions(dtype: torch.dtype, device: torch.device, window: int) -> bool:
    """Whether appended positions are the faster way.

    Fused kernels of accelerators are for half precision. A processor's (bf16, one core) took 328 ms in place of 442 for
    a global layer of ViT-B, but 180 in place of 123 for its windows, and in float32 1,659 in place of 1,288.
    """
    return dtype != torch.float32 and (device.type != "cpu" or window == 0)


def positional_budget(device: torch.device) -> int:
    """Bytes of positional terms that suit a device."""
    return BYTES_PER_THREAD * torch.get_num_threads() if device.type == "cpu" else BYTES_ON_ACCELERATOR


def positional_terms(query: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """What the score of a query and a key owes to the distance of their rows, and to that of their columns.

    Args:
        query: ... x H x W x S.
        rows: (2 H - 1) x S, by distance.
        columns: (2 W - 1) x S, by distance.

    Returns:
        ... x H x W x H by row of the key, and ... x H x W x W by its column.
    """
    height, width = query.shape[-3:-1]
    return products_with(query, _relative(rows, height), _relative(columns, width))


def products_with(query: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """What `positional_terms` returns, from tables by position of the query: H x S x H, W x S x W."""
    by_row = torch.einsum("...hws,hsk->...hwk", query, rows)
    return by_row, torch.einsum("...hws,wsk->...hwk", query, columns)


def by_position(table: Tensor) -> Tensor:
    """(2 L - 1) x S by distance -> L x S x L' by position of the query and of the key; zeros fill up to `ALIGNED`."""
    length = len(table) // 2 + 1
    return F.pad(_relative(table, length), (0, -length % ALIGNED)).contiguous()


def _relative(table: Tensor, length: int) -> Tensor:
    """(2 L - 1) x S by distance, largest last -> L x S x L by position of the query and of the key."""
    # Views of a table turned round, rather than an index: an accelerator would wait for the index.
    return table.flip(0).unfold(0, length, 1).flip(0)


def one_hot_places(height: int, width: int) -> Tensor:
    """Row and column of each cell of a grid, (H W) x (H' + W') of 0 and 1; H' and W' are multiples of `ALIGNED`."""
    rows, columns = (F.pad(torch.eye(length), (0, -length % ALIGNED)) for length in (height, width))
    return torch.cat([rows.repeat_interleave(width, 0), columns.repeat(height, 1)], dim=1)


def appended_attention(
    query: Tensor, key: Tensor, value: Tensor, by_row: Tensor, by_column: Tensor, places: Tensor, scale: float
) -> Tensor:
    """B x heads x T x S queries, keys and values -> B x heads x T x S; positional terms are more of the heads' numbers.

    Args:
        query: B x heads x T x S.
        key: B x heads x T x S.
        value: B x heads x T x S.
        by_row: B x heads x H x W x H', divided by the scale.
        by_column: B x heads x H x W x W', divided by the scale.
        places: T x (H' + W'), see `one_hot_places`.
        scale: of scores.
    """
    size = query.shape[3] + places.shape[1]
    # Kernels for half precision want heads of one size, a multiple of `ALIGNED`; zeros change no score.
    padding = query.new_zeros(()).expand(*query.shape[:3], -size % ALIGNED)
    queries = torch.cat([query, by_row.flatten(2, 3), by_column.flatten(2, 3), padding], dim=3)
    keys = torch.cat([key, places.expand(*key.shape[:2], -1, -1), padding], dim=3)
    values = F.pad(value, (0, keys.shape[3] - value.shape[3]))
    return _attention(queries, keys, values, scale, None)[..., : value.shape[3]]


def chunked_attention(
    query: Tensor, key: Tensor, value: Tensor, by_row: Tensor, by_column: Tensor, scale: float, budget: int
) -> Tensor:
    """N x T x S queries, keys and values -> N x T x S; the positional terms of few queries are added up at a time."""
    count, height, width, _ = by_row.shape
    fitting = max(1, budget // (by_row.element_size() * width * height * width))
    group, rows = max(1, fitting // height), min(fitting, height)
    chunks = []
    for n in range(0, count, group):
        images = slice(n, n + group)
        found = []
        for y in range(0, height, rows):
            near = slice(y, y + rows)
            bias = by_row[images, near, :, :, None] + by_column[images, near, :, None, :]
            windowed = query[images, y * width : (y + rows) * width]
            bias = bias.reshape(len(windowed), 1, windowed.shape[1], -1)
            parts = (windowed[:, None], key[images, None], value[images, None])
            found.append(_attention(*parts, scale, bias)[:, 0])
        chunks.append(torch.cat(found, dim=1))
    return torch.cat(chunks)


def _attention(query: Tensor, key: Tensor, value: Tensor, scale: float, bias: Tensor | None) -> Tensor:
    """... x T' x S queries, ... x T x S keys and values, ... x T' x T terms added to the scores -> ... x T' x S."""
    return F.scaled_dot_product_attention(query, key, value, bias, scale=scale)
