"""SAM's ViT encoder with its attention computed in place: no table of all pairs of cells is ever kept.

A global layer of the packaged module writes 4096 x 4096 scores for each head, adds two positional terms to all of them,
and reads them again for the softmax. Here the scores live inside `scaled_dot_product_attention`; what it is given is
their positional part, of as many query rows at a time as fit a budget. It is the same function: results differ from the
packaged module's by rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling.image_encoder import window_partition, window_unpartition
from torch import Tensor, nn
from torch.nn import functional as F

from samref.backbones.fast.tiny_vit import Neck

# Bytes of positional terms at once: what a processor's core has cached, and little of an accelerator's memory.
BYTES_PER_THREAD = 4 << 20
BYTES_ON_ACCELERATOR = 512 << 20


class FastViT(nn.Module):
    """A packaged `ImageEncoderViT`, SAM's or HQ-SAM's; it shares the weights, whatever they become."""

    def __init__(self, encoder: Any, budget: int) -> None:
        """Keeps the packaged module.

        Args:
            encoder: `ImageEncoderViT` of `segment_anything` or `segment_anything_hq`.
            budget: bytes of positional terms at once.
        """
        super().__init__()
        self.budget = budget
        self.encoder = encoder
        self.neck = Neck(encoder.neck)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes preprocessed images.

        Args:
            pixels: B x 3 x S x S.

        Returns:
            B x C x h x w features, and the B x h x w x C'' output of the first layer with global attention.
        """
        cells = self.encoder.patch_embed(pixels)
        if self.encoder.pos_embed is not None:
            cells = cells + self.encoder.pos_embed
        early = None
        for block in self.encoder.blocks:
            cells = cells + self._attended(block, block.norm1(cells))
            cells = cells + block.mlp(block.norm2(cells))
            if early is None and block.window_size == 0:
                early = cells
        return self.neck(cells), cells if early is None else early

    def _attended(self, block: Any, cells: Tensor) -> Tensor:
        size = block.window_size
        if size == 0:
            return attend(block.attn, cells, self.budget)
        windows, padded = window_partition(cells, size)
        merged: Tensor = window_unpartition(attend(block.attn, windows, self.budget), size, padded, cells.shape[1:3])
        return merged


def positional_budget(device: torch.device) -> int:
    """Bytes of positional terms that suit a device."""
    return BYTES_PER_THREAD * torch.get_num_threads() if device.type == "cpu" else BYTES_ON_ACCELERATOR


def attend(attention: Any, cells: Tensor, budget: int) -> Tensor:
    """Attention with decomposed relative positions.

    Args:
        attention: a packaged `Attention`.
        cells: B x H x W x C.
        budget: bytes of positional terms at once; at least one row of queries is computed in any case.

    Returns:
        B x H x W x C.
    """
    batch, height, width, _ = cells.shape
    heads: int = attention.num_heads
    # Heads go with the images: N = B * heads independent attentions over H * W cells of size S.
    parts = attention.qkv(cells).view(batch, height * width, 3, heads, -1).permute(2, 0, 3, 1, 4).flatten(1, 2)
    query, key, value = parts.unbind(0)
    if not attention.use_rel_pos:
        found = _attention(query, key, value, attention.scale, None)
    else:
        by_row, by_column = positional_terms(attention, query.reshape(len(query), height, width, -1))
        found = _chunked_attention(query, key, value, by_row, by_column, attention.scale, budget)
    merged = found.view(batch, heads, height * width, -1).transpose(1, 2).reshape(cells.shape)
    projected: Tensor = attention.proj(merged)
    return projected


def positional_terms(attention: Any, query: Tensor) -> tuple[Tensor, Tensor]:
    """What the score of a query and a key owes to the distance of their rows, and to that of their columns.

    Args:
        attention: a packaged `Attention`.
        query: N x H x W x S.

    Returns:
        N x H x W x H by row of the key, and N x H x W x W by its column.
    """
    _, height, width, _ = query.shape
    rows, columns = _relative(attention.rel_pos_h, height), _relative(attention.rel_pos_w, width)
    return torch.einsum("nhws,hsk->nhwk", query, rows), torch.einsum("nhws,wsk->nhwk", query, columns)


def _relative(table: Tensor, length: int) -> Tensor:
    """(2 L - 1) x S by distance, largest last -> L x S x L by position of the query and of the key."""
    # Views of a table turned round, rather than an index: an accelerator would wait for the index.
    return table.flip(0).unfold(0, length, 1).flip(0)


def _chunked_attention(
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
            queries = query[images, y * width : (y + rows) * width]
            bias = bias.reshape(len(queries), 1, queries.shape[1], -1)
            found.append(_attention(queries, key[images], value[images], scale, bias))
        chunks.append(torch.cat(found, dim=1))
    return torch.cat(chunks)


def _attention(query: Tensor, key: Tensor, value: Tensor, scale: float, bias: Tensor | None) -> Tensor:
    """N x T' x S queries, N x T x S keys and values, N x 1 x T' x T terms to be added to the scores -> N x T' x S."""
    found = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None], bias, scale=scale)
    return found[:, 0]
