"""SAM and HQ-SAM in the format of `transformers`: fine-tuned models, and a second source of the published ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from samref.backbones.fast.decoder import HqMaskDecoder, hq_features
from samref.backbones.fast.vit import FastViT
from samref.backbones.hf.backbone import HfBackbone
from samref.backbones.hf.families import SAM, SAM_HQ
from samref.backbones.hf.opening import open_model
from samref.backbones.hf.views import hq_mask_decoder_view, vit_view
from samref.backbones.sam_backbone import resolve_device
from samref.config.paths import InputModel


def fast_vit(image_encoder: Any, dtype: torch.dtype) -> nn.Module:
    """A `SamVisionEncoder`, or HQ-SAM's, as it runs; see `SamBackbone.rearrange_encoder`."""
    return FastViT(vit_view(image_encoder), dtype, next(image_encoder.parameters()).device)


class HfSam(HfBackbone):
    """A `SamModel`.

    Args:
        name: `hf_sam`.
        weights: folder that `save_pretrained` left, file with `config.json` beside it, or name on the hub.
        sha256: accept only weights with this hash.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: see `SamBackbone`.
        compile: see `SamBackbone`.
    """

    def __init__(
        self,
        name: str = "hf_sam",
        weights: InputModel | None = None,
        sha256: str | None = None,
        device: str = "auto",
        precision: str = "fp32",
        compile: bool = False,
    ) -> None:
        target = resolve_device(device)
        super().__init__(name, open_model(name, SAM, weights, sha256), precision, compile)
        self.to(target)

    rearrange_encoder = staticmethod(fast_vit)


class HfSamHq(HfBackbone):
    """A `SamHQModel`; arguments are those of `HfSam`. `Embedding.interm` holds the image's fused HQ features."""

    decoder_class = HqMaskDecoder
    decoder_view = staticmethod(hq_mask_decoder_view)

    def __init__(
        self,
        name: str = "hf_sam_hq",
        weights: InputModel | None = None,
        sha256: str | None = None,
        device: str = "auto",
        precision: str = "fp32",
        compile: bool = False,
    ) -> None:
        target = resolve_device(device)
        super().__init__(name, open_model(name, SAM_HQ, weights, sha256), precision, compile)
        self.to(target)

    rearrange_encoder = staticmethod(fast_vit)

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `SamBackbone.encode_pixels`."""
        features, early = self._encoder(pixels)
        with torch.no_grad():
            fused = hq_features(hq_mask_decoder_view(self.mask_decoder), features, early)
        # As the cache gives it back: products of another memory layout round differently.
        return features, (fused.contiguous(),)
