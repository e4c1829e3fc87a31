"""Tiny random models: every path of the published ones in milliseconds, for tests and dry runs."""

from __future__ import annotations

from functools import partial
from typing import Any

import segment_anything
import torch
from torch import nn

from samref.backbones.device import resolve_device
from samref.backbones.fast.modules import import_hq
from samref.backbones.hq_sam import HqSamBackbone
from samref.backbones.sam_backbone import SamBackbone, SamModules

CHANNELS = 32
PATCH = 8


class TinySam(SamBackbone):
    """A SAM of 93 K random parameters; its masks mean nothing.

    Args:
        name: `tiny`.
        img_size: side of the model frame, a multiple of 8.
        seed: of the parameters; the caller's random state is left alone.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: see `SamBackbone`.
        compile: see `SamBackbone`.
    """

    def __init__(
        self,
        name: str = "tiny",
        img_size: int = 128,
        seed: int = 0,
        device: str = "auto",
        precision: str = "fp32",
        compile: bool = False,
    ) -> None:
        target = resolve_device(device)
        super().__init__(name, tiny_modules(img_size, seed, hq=False), precision=precision, compile=compile)
        self.to(target)


class TinyHqSam(HqSamBackbone):
    """An HQ-SAM of the same kind; arguments as for `TinySam`."""

    def __init__(
        self,
        name: str = "tiny_hq",
        img_size: int = 128,
        seed: int = 0,
        device: str = "auto",
        precision: str = "fp32",
        compile: bool = False,
    ) -> None:
        target = resolve_device(device)
        super().__init__(name, tiny_modules(img_size, seed, hq=True), precision=precision, compile=compile)
        self.to(target)


def tiny_modules(img_size: int, seed: int, hq: bool) -> SamModules:
    """Parts of a tiny SAM or HQ-SAM with random parameters."""
    modeling: Any = import_hq().modeling if hq else segment_anything.modeling
    grid = img_size // PATCH
    heads = 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder: Any = partial(modeling.MaskDecoderHQ, vit_dim=CHANNELS) if hq else modeling.MaskDecoder
        return SamModules(
            image_encoder=modeling.ImageEncoderViT(
                img_size=img_size,
                patch_size=PATCH,
                embed_dim=CHANNELS,
                depth=2,
                num_heads=heads,
                out_chans=CHANNELS,
                norm_layer=partial(nn.LayerNorm, eps=1e-6),
                use_rel_pos=True,
                window_size=4,
                global_attn_indexes=(1,),
            ),
            prompt_encoder=modeling.PromptEncoder(
                embed_dim=CHANNELS,
                image_embedding_size=(grid, grid),
                input_image_size=(img_size, img_size),
                mask_in_chans=16,
            ),
            mask_decoder=decoder(
                transformer_dim=CHANNELS,
                transformer=modeling.TwoWayTransformer(
                    depth=2, embedding_dim=CHANNELS, mlp_dim=2 * CHANNELS, num_heads=heads
                ),
                iou_head_hidden_dim=CHANNELS,
            ),
        )
