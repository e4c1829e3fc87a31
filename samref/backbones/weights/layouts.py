"""Which model and package a file of Segment Anything weights is of, by the names of its tensors."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """A way in which weights are named.

    Attributes:
        title: the model and the package, in words.
        use: what to do with such a file.
        signs: all of them begin some name.
        options: backbones that read it.
    """

    title: str
    use: str
    signs: tuple[str, ...]
    options: tuple[str, ...] = ()


_SAM2_OPTIONS = ("sam2_hiera_t", "sam2_hiera_s", "sam2_hiera_b_plus", "sam2_hiera_l")
_HF = "in the format of transformers"
# The first that fits counts.
LAYOUTS = (
    Layout(f"HQ-SAM {_HF}", "use backbone=hf_sam_hq", ("mask_decoder.hq_token.", "vision_encoder."), ("hf_sam_hq",)),
    Layout(f"EdgeTAM {_HF}", "use backbone=edgetam", ("vision_encoder.backbone.timm_model.",), ("edgetam",)),
    Layout(
        f"SAM 2 {_HF}",
        "use backbone=sam2_hiera_t, _s, _b_plus or _l",
        ("vision_encoder.backbone.blocks.",),
        _SAM2_OPTIONS,
    ),
    Layout(f"SAM 3 {_HF}", "use backbone=sam3", ("vision_encoder.backbone.layers.",), ("sam3",)),
    Layout(f"SAM 3 {_HF}", "use backbone=sam3", ("tracker_model.",), ("sam3",)),
    Layout(f"SAM {_HF}", "use backbone=hf_sam", ("vision_encoder.layers.", "mask_decoder."), ("hf_sam",)),
    Layout(
        "SAM 2 in the format of its own package",
        "give its twin in the format of transformers: without backbone.weights it is fetched",
        ("image_encoder.trunk.",),
    ),
    Layout("SAM 3 in the format of its own package", "use backbone=sam3 without backbone.weights", ("detector.",)),
    Layout(
        "HQ-SAM in the format of its own package",
        "use backbone=hq_vit_tiny, hq_vit_b, hq_vit_l or hq_vit_h",
        ("image_encoder.", "mask_decoder.hf_token."),
        ("hq_vit_tiny", "hq_vit_b", "hq_vit_l", "hq_vit_h"),
    ),
    Layout(
        "SAM in the format of its own package",
        "use backbone=vit_b, vit_l, vit_h or mobile_sam",
        ("image_encoder.", "mask_decoder.iou_token."),
        ("vit_b", "vit_l", "vit_h", "mobile_sam"),
    ),
)


def layout_of(names: Collection[str]) -> Layout | None:
    """The layout of a state dict.

    Args:
        names: of its tensors.

    Returns:
        None where none is known.
    """
    return next((layout for layout in LAYOUTS if _all_begin(layout.signs, names)), None)


def _all_begin(signs: Iterable[str], names: Collection[str]) -> bool:
    return all(any(name.startswith(sign) for name in names) for sign in signs)
