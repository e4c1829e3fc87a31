"""MobileSAM: TinyViT-5M in place of SAM's image encoder, SAM's own prompt encoder and mask decoder."""

from __future__ import annotations

from torch import Tensor

from samref.backbones.modules import mobile_sam_modules
from samref.backbones.sam_backbone import SamBackbone, resolve_device


class MobileSam(SamBackbone):
    """The embedded default: 10 M parameters, and weights that a package registry carries.

    Args:
        name: `mobile_sam`.
        weights: path of a checkpoint, or None for the published one.
        sha256: accept only a file with this hash.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
    """

    def __init__(
        self,
        name: str = "mobile_sam",
        weights: str | None = None,
        sha256: str | None = None,
        device: str = "auto",
    ) -> None:
        target = resolve_device(device)
        super().__init__(name, mobile_sam_modules())
        self.load(weights, sha256)
        self.to(target)

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `SamBackbone.encode_pixels`; TinyViT's early features are HQ-SAM's and not wanted here."""
        features, _ = self.image_encoder(pixels)
        return features, ()
