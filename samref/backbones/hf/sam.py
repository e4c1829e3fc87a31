"""SAM and HQ-SAM in the format of `transformers`: fine-tuned models, and a second source of the published ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from samref.backbones.fast.decoder import HqMaskDecoder, hq_features
from samref.backbones.fast.vit import FastViT
from samref.backbones.hf.backbone import HfModel
from samref.backbones.hf.families import SAM, SAM_HQ
from samref.backbones.hf.views import hq_mask_decoder_view, vit_view


def fast_vit(image_encoder: Any, dtype: torch.dtype) -> nn.Module:
    """A `SamVisionEncoder`, or HQ-SAM's, as it runs; see `SamBackbone.rearrange_encoder`."""
    return FastViT(vit_view(image_encoder), dtype, next(image_encoder.parameters()).device)


class HfSam(HfModel):
    """A `SamModel`."""

    family = SAM
    rearrange_encoder = staticmethod(fast_vit)


class HfSamHq(HfModel):
    """A `SamHQModel`. `Embedding.interm` holds the image's fused HQ features."""

    family = SAM_HQ
    decoder_class = HqMaskDecoder
    decoder_view = staticmethod(hq_mask_decoder_view)
    rearrange_encoder = staticmethod(fast_vit)

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `SamBackbone.encode_pixels`."""
        features, early = self._encoder(pixels)
        with torch.no_grad():
            fused = hq_features(hq_mask_decoder_view(self.mask_decoder), features, early)
        # As the cache gives it back: products of another memory layout round differently.
        return features, (fused.contiguous(),)
