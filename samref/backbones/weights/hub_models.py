"""Models that are fetched by their name on the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import dataclass

from samref.backbones.weights.registry import APACHE


@dataclass(frozen=True)
class HubModel:
    """A published model in the format of `transformers`.

    Attributes:
        name: the backbone's option name.
        architecture: in words, for the list.
        hub: owner/model.
        megabytes: rough size of its weights, the parts for videos included.
        credit: whom to cite.
        license: SPDX identifier of the weights, or the name that their authors gave it.
        gated: whether its page requires consent before it is fetched.
    """

    name: str
    architecture: str
    hub: str
    megabytes: int
    credit: str
    license: str = APACHE
    gated: bool = False


_SAM2 = "Ravi et al., SAM 2: Segment Anything in Images and Videos, ICLR 2025"
_ENTRIES = (
    HubModel("sam2_hiera_t", "SAM 2.1, Hiera-T", "facebook/sam2.1-hiera-tiny", 156, _SAM2),
    HubModel("sam2_hiera_s", "SAM 2.1, Hiera-S", "facebook/sam2.1-hiera-small", 184, _SAM2),
    HubModel("sam2_hiera_b_plus", "SAM 2.1, Hiera-B+", "facebook/sam2.1-hiera-base-plus", 323, _SAM2),
    HubModel("sam2_hiera_l", "SAM 2.1, Hiera-L", "facebook/sam2.1-hiera-large", 898, _SAM2),
    HubModel(
        "sam3",
        "SAM 3, tracker",
        "facebook/sam3",
        3440,
        "Carion et al., SAM 3: Segment Anything with Concepts, 2025",
        "SAM License, gated",
        gated=True,
    ),
    HubModel(
        "edgetam",
        "EdgeTAM, RepViT-M1",
        "yonigozlan/EdgeTAM-hf",
        56,
        "Zhou et al., EdgeTAM: On-Device Track Anything Model, CVPR 2025",
    ),
)

HUB_MODELS = {entry.name: entry for entry in _ENTRIES}


def hub_name(name: str) -> str | None:
    """The published model of a backbone; None where there is none."""
    return HUB_MODELS[name].hub if name in HUB_MODELS else None
