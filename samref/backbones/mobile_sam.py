"""MobileSAM: TinyViT-5M in place of SAM's image encoder, SAM's own prompt encoder and mask decoder."""

from __future__ import annotations

from samref.backbones.device import resolve_device
from samref.backbones.fast.modules import mobile_sam_modules
from samref.backbones.sam_backbone import SamBackbone
from samref.config.paths import InputFile


class MobileSam(SamBackbone):
    """The embedded default: 10 M parameters, and weights that a package registry carries.

    Args:
        name: `mobile_sam`.
        weights: path of a checkpoint, or None for the published one.
        sha256: accept only a file with this hash.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: see `SamBackbone`.
        compile: see `SamBackbone`.
    """

    def __init__(
        self,
        name: str = "mobile_sam",
        weights: InputFile | None = None,
        sha256: str | None = None,
        device: str = "auto",
        precision: str = "fp32",
        compile: bool = False,
    ) -> None:
        target = resolve_device(device)
        super().__init__(name, mobile_sam_modules(), precision=precision, compile=compile)
        self.load(weights, sha256)
        self.to(target)
