"""Models that are fetched by their name on the Hugging Face Hub."""

from __future__ import annotations

HUB_NAMES = {
    "sam2_hiera_t": "facebook/sam2.1-hiera-tiny",
    "sam2_hiera_s": "facebook/sam2.1-hiera-small",
    "sam2_hiera_b_plus": "facebook/sam2.1-hiera-base-plus",
    "sam2_hiera_l": "facebook/sam2.1-hiera-large",
    "sam3": "facebook/sam3",
    "edgetam": "yonigozlan/EdgeTAM-hf",
}


def hub_name(name: str) -> str | None:
    """The published model of a backbone; None where there is none."""
    return HUB_NAMES.get(name)
