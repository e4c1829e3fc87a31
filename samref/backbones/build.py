"""From a name to a backbone, for Python; Hydra gets the same classes from `conf/backbone`."""

from __future__ import annotations

from typing import Protocol

from samref.backbones.hq_sam import HqSam
from samref.backbones.mobile_sam import MobileSam
from samref.backbones.sam import Sam
from samref.backbones.sam_backbone import SamBackbone
from samref.errors import ConfigError


class _Builder(Protocol):
    def __call__(
        self, name: str, weights: str | None, sha256: str | None, device: str, precision: str, compile: bool
    ) -> SamBackbone: ...


BACKBONES: dict[str, _Builder] = {
    "mobile_sam": MobileSam,
    "vit_b": Sam,
    "vit_l": Sam,
    "vit_h": Sam,
    "hq_vit_tiny": HqSam,
    "hq_vit_b": HqSam,
    "hq_vit_l": HqSam,
    "hq_vit_h": HqSam,
}


def build_backbone(
    name: str,
    weights: str | None = None,
    device: str = "cpu",
    sha256: str | None = None,
    precision: str = "fp32",
    compile: bool = False,
) -> SamBackbone:
    """A frozen backbone with its weights.

    Args:
        name: one of `BACKBONES`.
        weights: path of a checkpoint, or None for the published one, fetched at first use.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        sha256: accept only a file with this hash.
        precision: arithmetic of the image encoder: `fp32`, `bf16` or `fp16`.
        compile: whether `torch.compile` translates the image encoder.

    Raises:
        ConfigError: for an unknown name, device or precision.
        WeightsError: when the weights cannot be found, verified or loaded.
    """
    if name not in BACKBONES:
        raise ConfigError(f"backbone is {name!r}; expected one of {', '.join(BACKBONES)}")
    return BACKBONES[name](
        name=name, weights=weights, sha256=sha256, device=device, precision=precision, compile=compile
    )
