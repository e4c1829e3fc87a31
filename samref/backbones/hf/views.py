"""Modules of `transformers` under the names that `segment_anything` gives the same parts.

The package has its own names and cuts for the layers of one and the same decoder and encoder. Seen through these, its
weights go through the arrangements of `samref.backbones.fast`; nothing is copied.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class IouHead(nn.Module):
    """The IoU head, its layers in one list: takes the place of the package's.

    Attributes:
        layers: linear layers; between them ReLU.
        sigmoid_output: whether a sigmoid follows the last.
    """

    def __init__(self, head: Any) -> None:
        """Takes the layers of a `SamFeedForward` or another family's."""
        super().__init__()
        self.layers = nn.ModuleList(layers_of(head))
        self.sigmoid_output = bool(head.sigmoid_output)


def layers_of(network: Any) -> list[nn.Module]:
    """The linear layers of a `SamFeedForward` or another family's, in order."""
    return [network.proj_in, *network.layers, network.proj_out]


def vit_view(encoder: Any) -> SimpleNamespace:
    """A `SamVisionEncoder`, or HQ-SAM's, as `ImageEncoderViT`."""
    return SimpleNamespace(
        patch_embed=SimpleNamespace(proj=encoder.patch_embed.projection),
        pos_embed=encoder.pos_embed,
        blocks=[_block_view(layer) for layer in encoder.layers],
        neck=[encoder.neck.conv1, encoder.neck.layer_norm1, encoder.neck.conv2, encoder.neck.layer_norm2],
    )


def prompt_encoder_view(encoder: Any, cell_positions: Any) -> SimpleNamespace:
    """A prompt encoder as `PromptEncoder`.

    Args:
        encoder: of any of the families.
        cell_positions: the model's encoding of the positions of image cells.
    """
    mask, grid = encoder.mask_embed, encoder.image_embedding_size
    layers = [mask.conv1, mask.layer_norm1, mask.activation, mask.conv2, mask.layer_norm2, mask.activation, mask.conv3]
    return SimpleNamespace(
        mask_downscaling=layers,
        image_embedding_size=grid,
        no_mask_embed=encoder.no_mask_embed,
        get_dense_pe=lambda: dense_positions(cell_positions, grid),
    )


def dense_positions(encoding: Any, grid: tuple[int, int]) -> Tensor:
    """Encoded positions of the centers of a grid's cells: 1 x C x h x w."""
    device = encoding.positional_embedding.device
    rows, columns = ((torch.arange(length, device=device) + 0.5) / length for length in grid)
    places = torch.stack([columns.expand(grid), rows[:, None].expand(grid)], dim=-1)
    encoded: Tensor = encoding(places)
    return encoded.permute(2, 0, 1)[None]


def mask_decoder_view(decoder: Any) -> SimpleNamespace:
    """A mask decoder as `MaskDecoder`; of SAM 2 and its kin with `obj_score_token`."""
    upscaling = [decoder.upscale_conv1, decoder.upscale_layer_norm, decoder.activation, decoder.upscale_conv2]
    return SimpleNamespace(
        transformer=_transformer_view(decoder.transformer),
        iou_token=decoder.iou_token,
        mask_tokens=decoder.mask_tokens,
        output_upscaling=[*upscaling, decoder.activation],
        output_hypernetworks_mlps=[
            SimpleNamespace(layers=layers_of(each)) for each in decoder.output_hypernetworks_mlps
        ],
        obj_score_token=getattr(decoder, "obj_score_token", None),
    )


def hq_mask_decoder_view(decoder: Any) -> SimpleNamespace:
    """A `SamHQMaskDecoder` as `MaskDecoderHQ`."""
    activation = decoder.activation
    view = mask_decoder_view(decoder)
    view.hf_token = decoder.hq_token
    view.hf_mlp = SimpleNamespace(layers=layers_of(decoder.hq_mask_mlp))
    view.embedding_encoder = nn.Sequential(
        decoder.encoder_conv1, decoder.encoder_norm, activation, decoder.encoder_conv2
    )
    view.compress_vit_feat = nn.Sequential(
        decoder.compress_vit_conv1, decoder.compress_vit_norm, activation, decoder.compress_vit_conv2
    )
    view.embedding_maskfeature = [decoder.mask_conv1, decoder.mask_norm, activation, decoder.mask_conv2]
    return view


def _block_view(layer: Any) -> SimpleNamespace:
    attention = layer.attn
    view = SimpleNamespace(
        num_heads=attention.num_attention_heads,
        scale=attention.scale,
        use_rel_pos=attention.use_rel_pos,
        qkv=attention.qkv,
        proj=attention.proj,
    )
    if attention.use_rel_pos:
        view.rel_pos_h, view.rel_pos_w = attention.rel_pos_h, attention.rel_pos_w
    return SimpleNamespace(
        window_size=layer.window_size, norm1=layer.layer_norm1, norm2=layer.layer_norm2, attn=view, mlp=layer.mlp
    )


def _transformer_view(transformer: Any) -> SimpleNamespace:
    return SimpleNamespace(
        layers=[_layer_view(layer) for layer in transformer.layers],
        final_attn_token_to_image=_attention_view(transformer.final_attn_token_to_image),
        norm_final_attn=transformer.layer_norm_final_attn,
    )


def _layer_view(layer: Any) -> SimpleNamespace:
    return SimpleNamespace(
        skip_first_layer_pe=layer.skip_first_layer_pe,
        self_attn=SelfAttention(layer.self_attn),
        norm1=layer.layer_norm1,
        norm2=layer.layer_norm2,
        norm3=layer.layer_norm3,
        norm4=layer.layer_norm4,
        mlp=layer.mlp,
        cross_attn_token_to_image=_attention_view(layer.cross_attn_token_to_image),
        cross_attn_image_to_token=_attention_view(layer.cross_attn_image_to_token),
    )


def _attention_view(attention: Any) -> SimpleNamespace:
    return SimpleNamespace(
        num_heads=attention.num_attention_heads,
        internal_dim=attention.internal_dim,
        q_proj=attention.q_proj,
        k_proj=attention.k_proj,
        v_proj=attention.v_proj,
        out_proj=attention.out_proj if hasattr(attention, "out_proj") else attention.o_proj,
    )


class SelfAttention:
    """Attention of tokens among themselves, called as that of `segment_anything`."""

    def __init__(self, attention: Any) -> None:
        """Takes the weights of a `SamAttention` or another family's."""
        self.view = _attention_view(attention)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """B x T x C queries, keys and values -> B x T x C."""
        view = self.view
        query, key, value = (
            projection(part).unflatten(2, (view.num_heads, -1)).transpose(1, 2)
            for projection, part in ((view.q_proj, q), (view.k_proj, k), (view.v_proj, v))
        )
        found = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        projected: Tensor = view.out_proj(found)
        return projected
