"""SAM's own models: ViT-B, ViT-L and ViT-H."""

from __future__ import annotations

from samref.backbones.device import resolve_device
from samref.backbones.fast.modules import sam_modules
from samref.backbones.sam_backbone import SamBackbone
from samref.config.paths import InputFile


class Sam(SamBackbone):
    """Segment Anything with one of its three plain ViT encoders.

    Args:
        name: `vit_b`, `vit_l` or `vit_h`.
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
        super().__init__(name, sam_modules(name), precision=precision, compile=compile)
        self.load(weights, sha256)
        self.to(target)
