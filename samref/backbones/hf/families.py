"""The families of models that `transformers` knows, and how each sees an image. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Statistics = tuple[float, float, float]

# Of the pixels, 0 to 255, by channel: ImageNet's, and the middle of the range.
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
MIDDLE: Statistics = (127.5, 127.5, 127.5)


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        title: as its authors call it.
        option: what opens its folders on the command line.
        model: class of `transformers`.
        model_types: `model_type` of the configurations that the class reads.
        stretched: see `samref.geometry.frames`.
        pixel_mean: of its training, where a folder does not say otherwise.
        pixel_std: likewise.
    """

    title: str
    option: str
    model: str
    model_types: tuple[str, ...]
    stretched: bool
    pixel_mean: Statistics = IMAGENET_MEAN
    pixel_std: Statistics = IMAGENET_STD


SAM = Family("SAM", "backbone=hf_sam", "SamModel", ("sam",), stretched=False)
SAM_HQ = Family("HQ-SAM", "backbone=hf_sam_hq", "SamHQModel", ("sam_hq",), stretched=False)
SAM2 = Family("SAM 2", "backbone=sam2_hiera_t, _s, _b_plus or _l", "Sam2Model", ("sam2", "sam2_video"), stretched=True)
_SAM3_TYPES = ("sam3_tracker", "sam3_tracker_video", "sam3_video")
SAM3 = Family("SAM 3", "backbone=sam3", "Sam3TrackerModel", _SAM3_TYPES, True, MIDDLE, MIDDLE)
EDGETAM = Family("EdgeTAM", "backbone=edgetam", "EdgeTamModel", ("edgetam", "edgetam_video"), stretched=True)
FAMILIES = (SAM, SAM_HQ, SAM2, SAM3, EDGETAM)

# The published sizes of SAM 2 differ in the blocks of each stage.
SAM2_BLOCKS = {
    "sam2_hiera_t": (1, 2, 7, 2),
    "sam2_hiera_s": (1, 2, 11, 2),
    "sam2_hiera_b_plus": (2, 3, 16, 3),
    "sam2_hiera_l": (2, 6, 36, 4),
}


def family_of(model_type: Any) -> Family | None:
    """The family of a configuration's `model_type`; None for others."""
    return next((family for family in FAMILIES if model_type in family.model_types), None)


def option_for(config: Mapping[str, Any]) -> str | None:
    """What opens a model on the command line; None where nothing does.

    Args:
        config: content of the model's `config.json`.
    """
    family = family_of(config.get("model_type"))
    if family is None:
        return None
    published = _published_size(config)
    return f"backbone={published}" if published else family.option


def _published_size(config: Mapping[str, Any]) -> str | None:
    """Which published SAM 2 has the blocks of a configuration."""
    vision = config.get("vision_config")
    hiera = vision.get("backbone_config") if isinstance(vision, Mapping) else None
    blocks = hiera.get("blocks_per_stage") if isinstance(hiera, Mapping) else None
    if not isinstance(blocks, list):
        return None
    return next((name for name, each in SAM2_BLOCKS.items() if list(each) == blocks), None)


def sam2_config(name: str) -> Any:
    """The configuration of a published SAM 2.1, for files that come without one.

    Args:
        name: a key of `SAM2_BLOCKS`.

    Returns:
        A `Sam2Config`.
    """
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2VisionConfig

    width, heads, more = {
        "sam2_hiera_t": (96, 1, {"global_attention_blocks": [5, 7, 9]}),
        "sam2_hiera_s": (96, 1, {"global_attention_blocks": [7, 10, 13]}),
        "sam2_hiera_b_plus": (
            112,
            2,
            {"global_attention_blocks": [12, 16, 20], "window_positional_embedding_background_size": [14, 14]},
        ),
        "sam2_hiera_l": (144, 2, {"global_attention_blocks": [23, 33, 43], "window_size_per_stage": [8, 4, 16, 8]}),
    }[name]
    widths = [width * 2**stage for stage in range(4)]
    hiera = Sam2HieraDetConfig(
        hidden_size=width,
        num_attention_heads=heads,
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[heads * 2**stage for stage in range(4)],
        blocks_per_stage=list(SAM2_BLOCKS[name]),
        **more,
    )
    return Sam2Config(vision_config=Sam2VisionConfig(backbone_config=hiera, backbone_channel_list=widths[::-1]))
