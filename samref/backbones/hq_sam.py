"""HQ-SAM: SAM with one more output token, whose mask is added to SAM's."""

from __future__ import annotations

import torch
from torch import Tensor

from samref.backbones.device import resolve_device
from samref.backbones.fast.decoder import HqMaskDecoder, hq_features
from samref.backbones.fast.modules import hq_sam_modules
from samref.backbones.sam_backbone import SamBackbone
from samref.config.paths import InputFile


class HqSamBackbone(SamBackbone):
    """HQ-SAM with all of its candidates in sight; the packaged decoder returns the best one only.

    Arguments are those of `SamBackbone`. `Embedding.interm` holds the image's fused HQ features.
    """

    decoder_class = HqMaskDecoder

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `SamBackbone.encode_pixels`."""
        features, early = self._encoder(pixels)
        with torch.no_grad():
            return features, (hq_features(self.mask_decoder, features, early),)


class HqSam(HqSamBackbone):
    """HQ-SAM with a published encoder.

    Args:
        name: `hq_vit_tiny`, `hq_vit_b`, `hq_vit_l` or `hq_vit_h`.
        weights: path of a checkpoint, or None for the published one.
        sha256: accept only a file with this hash.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: see `SamBackbone`.
        compile: see `SamBackbone`.
    """

    def __init__(
        self,
        name: str,
        weights: InputFile | None = None,
        sha256: str | None = None,
        device: str = "auto",
        precision: str = "fp32",
        compile: bool = False,
    ) -> None:
        target = resolve_device(device)
        super().__init__(name, hq_sam_modules(name.removeprefix("hq_")), precision=precision, compile=compile)
        self.load(weights, sha256)
        self.to(target)
