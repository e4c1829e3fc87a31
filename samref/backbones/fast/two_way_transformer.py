"""SAM's two-way transformer for many prompts of one image: its image side is not repeated where it is shared.

Tokens (prompts and outputs) and image cells attend to each other in turn. Written for one prompt, each attention
projects all image cells (P x C) into keys, queries and values. Here:

* Before the first layer has changed them, cells differ between masks only by the mask prompt, and that is a linear
  function of few channels (16 in SAM): `cells = shared + codes @ D`. So the first layer's projections of `shared` are
  made once an image, and those of `codes` have 16 columns.
* After it, a projection moves to the side that has few rows: `q . (x W) = (q W') . x`, with some 9 tokens in 8 heads
  against 4096 cells; likewise `a (x W) = (a x) W` behind the softmax.
* The positional part of a projection, `(x + pe) W = x W + pe W`, does not depend on the image.
* What cells receive from tokens has rank heads x tokens (72), so it is added to them by one product.

That is half the arithmetic and a fraction of the memory traffic, and it is the same function: results differ from the
packaged transformer's by rounding. Shapes: B masks, T tokens, P image cells, C channels, H heads of size S, D channels
of mask codes.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class SharedImage(NamedTuple):
    """What all masks of one image share.

    Attributes:
        cells: P x C, embedding and the constant part of the dense prompt.
        keys: H x S x P, what tokens of the first layer attend to.
        values: H x P x S, what they find.
        queries: H x S x P, cells as queries of the first layer.
    """

    cells: Tensor
    keys: Tensor
    values: Tensor
    queries: Tensor


class CrossAttention:
    """The weights of one attention between tokens and cells, arranged by head.

    Attributes:
        heads: H.
        size: S.
    """

    def __init__(self, attention: Any, cells_query: bool) -> None:
        """Rearranges a packaged attention's weights.

        Args:
            attention: `Attention` of `segment_anything`.
            cells_query: whether cells are its queries (image to token) or its keys (token to image).
        """
        self.heads = int(attention.num_heads)
        self.size = int(attention.internal_dim) // self.heads
        of_tokens, of_cells = attention.q_proj, attention.k_proj
        if cells_query:
            of_tokens, of_cells = of_cells, of_tokens
        scale = 1 / math.sqrt(self.size)
        self.token_weight, self.token_bias = of_tokens.weight * scale, of_tokens.bias * scale
        self.cell_weight, self.cell_bias = of_cells.weight, of_cells.bias
        self.value_weight, self.value_bias = attention.v_proj.weight, attention.v_proj.bias
        self.out_weight, self.out_bias = attention.out_proj.weight, attention.out_proj.bias
        self.cells_by_head = self.by_head(of_cells.weight)
        self.values_by_head = self.by_head(attention.v_proj.weight).transpose(1, 2).contiguous()
        self.out_by_head = attention.out_proj.weight.t().reshape(self.heads, self.size, -1)

    def by_head(self, weight: Tensor) -> Tensor:
        """(H S) x K -> H x S x K."""
        return weight.reshape(self.heads, self.size, -1)

    def tokens(self, tokens: Tensor) -> Tensor:
        """B x T x C tokens -> B x H x T x S, scaled so that products with cells are scores."""
        return self._split(F.linear(tokens, self.token_weight, self.token_bias))

    def token_values(self, tokens: Tensor) -> Tensor:
        """B x T x C tokens -> B x (H T) x C: what each token gives a cell that attends to it alone, in each head."""
        values = self._split(F.linear(tokens, self.value_weight, self.value_bias)) @ self.out_by_head
        # A cell's weights sum to 1 in every head, so the heads' shares of the bias sum to the bias.
        shared: Tensor = values + self.out_bias / self.heads
        return shared.flatten(1, 2)

    def merge(self, found: Tensor) -> Tensor:
        """B x H x T x S values that tokens found -> B x T x C."""
        merged = found.transpose(1, 2).flatten(2) + self.value_bias
        return F.linear(merged, self.out_weight, self.out_bias)

    def _split(self, projected: Tensor) -> Tensor:
        return projected.reshape(*projected.shape[:2], self.heads, self.size).transpose(1, 2)


class TwoWayTransformer:
    """A packaged two-way transformer with its image side shared; made again when weights change."""

    def __init__(self, transformer: Any, image_pe: Tensor, code_weight: Tensor) -> None:
        """Rearranges the weights.

        Args:
            transformer: `TwoWayTransformer` of `segment_anything`.
            image_pe: C x P positional encoding of the cells.
            code_weight: C x D, from mask codes to the dense prompt.
        """
        self.layers = list(transformer.layers)
        self.norm = transformer.norm_final_attn
        attentions = [
            *(layer.cross_attn_token_to_image for layer in self.layers),
            transformer.final_attn_token_to_image,
        ]
        self.to_image = [CrossAttention(attention, cells_query=False) for attention in attentions]
        self.to_tokens = [CrossAttention(layer.cross_attn_image_to_token, cells_query=True) for layer in self.layers]
        # A key's bias adds the same to all scores of a token, and softmax does not see it.
        self.key_pe = [a.by_head(a.cell_weight @ image_pe) for a in self.to_image]
        self.query_pe = [a.by_head(a.cell_weight @ image_pe + a.cell_bias[:, None]) for a in self.to_tokens]
        first, back = self.to_image[0], self.to_tokens[0]
        self.code_rows = code_weight.t()
        self.code_keys = first.by_head(first.cell_weight @ code_weight)
        self.code_values = first.by_head(first.value_weight @ code_weight).transpose(1, 2).contiguous()
        self.code_queries = back.by_head(back.cell_weight @ code_weight)

    def share(self, cells: Tensor) -> SharedImage:
        """Prepares one image.

        Args:
            cells: C x P, embedding and the constant part of the dense prompt.
        """
        first, back = self.to_image[0], self.to_tokens[0]
        return SharedImage(
            cells.t().contiguous(),
            first.by_head(first.cell_weight @ cells) + self.key_pe[0],
            first.by_head(first.value_weight @ cells).transpose(1, 2).contiguous(),
            back.by_head(back.cell_weight @ cells) + self.query_pe[0],
        )

    def __call__(self, prompt_tokens: Tensor, image: SharedImage, codes: Tensor | None) -> tuple[Tensor, Tensor]:
        """Runs all layers.

        Args:
            prompt_tokens: B x T x C.
            image: what `share` made of the image.
            codes: B x D x P of mask prompts, or None without them.

        Returns:
            Tokens, B x T x C, and cells, B x P x C.
        """
        tokens, cells = prompt_tokens, image.cells
        for index, layer in enumerate(self.layers):
            tokens = _self_attention(layer, tokens, prompt_tokens)
            queried = tokens + prompt_tokens
            found = (
                self._first_token_attention(queried, image, codes)
                if index == 0
                else self._token_attention(index, queried, cells)
            )
            tokens = layer.norm2(tokens + found)
            tokens = layer.norm3(tokens + layer.mlp(tokens))
            values = self.to_tokens[index].token_values(tokens)
            keys = self.to_tokens[index].tokens(tokens + prompt_tokens)
            if index == 0:
                cells = layer.norm4(self._first_image_attention(keys, values, image, codes))
            else:
                cells = layer.norm4(self._image_attention(index, keys, values, cells))
        found = self._token_attention(len(self.layers), tokens + prompt_tokens, cells)
        return self.norm(tokens + found), cells

    def _first_token_attention(self, queried: Tensor, image: SharedImage, codes: Tensor | None) -> Tensor:
        attention = self.to_image[0]
        queries = attention.tokens(queried)
        scores = (queries @ image.keys).flatten(1, 2)
        if codes is not None:
            scores.baddbmm_((queries @ self.code_keys).flatten(1, 2), codes)
        weights = scores.softmax(-1)
        found = _by_head(weights, attention.heads) @ image.values
        if codes is not None:
            seen = torch.bmm(weights, codes.transpose(1, 2))
            found = found + _by_head(seen, attention.heads) @ self.code_values
        return attention.merge(found)

    def _token_attention(self, index: int, queried: Tensor, cells: Tensor) -> Tensor:
        attention = self.to_image[index]
        queries = attention.tokens(queried)
        scores = (queries @ self.key_pe[index]).flatten(1, 2)
        scores.baddbmm_((queries @ attention.cells_by_head).flatten(1, 2), cells.transpose(1, 2))
        seen = torch.bmm(scores.softmax(-1), cells)
        return attention.merge(_by_head(seen, attention.heads) @ attention.values_by_head)

    def _first_image_attention(self, keys: Tensor, values: Tensor, image: SharedImage, codes: Tensor | None) -> Tensor:
        scores = (keys @ image.queries).flatten(1, 2)
        if codes is not None:
            scores.baddbmm_((keys @ self.code_queries).flatten(1, 2), codes)
        weights = _over_tokens(scores, self.to_tokens[0].heads)
        if codes is not None:
            # The mask prompt itself joins in the same product.
            weights = torch.cat([weights, codes], dim=1)
            values = torch.cat([values, self.code_rows.expand(len(values), -1, -1)], dim=1)
        return torch.baddbmm(image.cells.expand(len(values), -1, -1), weights.transpose(1, 2), values)

    def _image_attention(self, index: int, keys: Tensor, values: Tensor, cells: Tensor) -> Tensor:
        attention = self.to_tokens[index]
        scores = (keys @ self.query_pe[index]).flatten(1, 2)
        scores.baddbmm_((keys @ attention.cells_by_head).flatten(1, 2), cells.transpose(1, 2))
        return cells.baddbmm_(_over_tokens(scores, attention.heads).transpose(1, 2), values)


def _self_attention(layer: Any, tokens: Tensor, prompt_tokens: Tensor) -> Tensor:
    if layer.skip_first_layer_pe:
        attended = layer.self_attn(q=tokens, k=tokens, v=tokens)
    else:
        queried = tokens + prompt_tokens
        attended = tokens + layer.self_attn(q=queried, k=queried, v=tokens)
    normalized: Tensor = layer.norm1(attended)
    return normalized


def _over_tokens(scores: Tensor, heads: int) -> Tensor:
    """Softmax of B x (H T) x P scores over the tokens of each head."""
    return _by_head(scores, heads).softmax(2).flatten(1, 2)


def _by_head(rows: Tensor, heads: int) -> Tensor:
    """B x (H T) x K -> B x H x T x K."""
    return rows.reshape(len(rows), heads, -1, rows.shape[2])
