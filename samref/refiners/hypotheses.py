"""Hypotheses: the candidates of several prompt combinations, decoded from one embedding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from samref.backbones.backbone import Backbone
from samref.errors import ConfigError
from samref.prompts.boxes import BoxPrompt
from samref.prompts.excavation import PARTS, Excavator, Frame
from samref.structures import BoolArray, Candidates, Embedding, FloatArray, IntArray, Prompts

# Boxes are tight: an elastic one would blur what a box prompt is to show.
TIGHT = BoxPrompt(lam=0, max_pixels=1, steps=0, strip=0, similarity=1)


@dataclass(frozen=True)
class Hypotheses:
    """What several prompt combinations make of N masks.

    Attributes:
        names: of the combinations, as in the config group `prompts`.
        prompts: all that was mined.
        candidates: of each combination.
        image: what they make of the same masks in the image, where these are of a crop; or None.
    """

    names: tuple[str, ...]
    prompts: Prompts
    candidates: tuple[Candidates, ...]
    image: Hypotheses | None = None

    def logits(self, row: int) -> torch.Tensor:
        """K x h x w logits of one mask, logit grid: three of each combination."""
        return torch.cat([candidates.multi_logits[row] for candidates in self.candidates]).float().cpu()

    def iou_predictions(self, row: int) -> torch.Tensor:
        """K predicted IoUs of one mask."""
        return torch.cat([candidates.multi_iou[row] for candidates in self.candidates]).float().cpu()


def parts_of(name: str) -> tuple[str, ...]:
    """The prompts of a combination.

    Raises:
        ConfigError: for a name that the config group `prompts` does not have.

    >>> parts_of("point_box"), parts_of("all"), parts_of("box*1.1")
    (('point', 'box'), ('point', 'box', 'mask'), ('box',))
    """
    combination = name.partition("*")[0]
    parts = PARTS if combination == "all" else tuple(combination.split("_"))
    if set(parts) - set(PARTS) or not box_scale(name) > 0 or ("*" in name and "box" not in parts):
        raise ConfigError(
            f"a hypothesis is named '{name}'; expected all or some of {', '.join(PARTS)} joined by _, and *1.1 behind "
            "it for a box 1.1 times as wide and high"
        )
    return parts


def box_scale(name: str) -> float:
    """How many times as wide and high as the coarse mask's box that of a combination is; NaN where it says no number.

    >>> box_scale("box"), box_scale("box*1.1")
    (1.0, 1.1)
    """
    _, star, factor = name.partition("*")
    try:
        return float(factor) if star else 1.0
    except ValueError:
        return math.nan


def decode_hypotheses(
    backbone: Backbone,
    excavator: Excavator,
    masks: Sequence[BoolArray],
    embedding: Embedding,
    names: Sequence[str],
) -> Hypotheses:
    """Mines the prompts of N masks once and decodes each combination of them.

    Args:
        backbone: the frozen model.
        excavator: the parameters of the prompts; its own combination and elasticity are not used.
        masks: N masks, H x W bool, none of them empty.
        embedding: of the image.
        names: combinations, as in the config group `prompts`.
    """
    used = sorted({part for name in names for part in parts_of(name)})
    tight = Excavator(used, excavator.point, TIGHT, excavator.mask)
    mined = tight(masks, embedding, Frame(backbone.img_size, backbone.mask_input_size))
    found = []
    for name in names:
        prompts = _only(mined, parts_of(name))
        if box_scale(name) != 1 and prompts.boxes is not None:
            prompts = replace(prompts, boxes=scale_boxes(prompts.boxes, box_scale(name), embedding.original_size))
        found.append(backbone.decode(embedding, prompts, unpadded_only=True))
    return Hypotheses(tuple(names), mined, tuple(found))


def gather_prompts(mined: Sequence[tuple[Sequence[int] | IntArray, Prompts]], count: int) -> Prompts:
    """The prompts of all masks from those of some of them; others get labels of -1, NaN boxes and logits of 0.

    Args:
        mined: rows, and their prompts.
        count: of all masks.
    """
    fills = {"point_coords": 0.0, "point_labels": -1, "boxes": np.nan, "mask_input": 0.0}
    whole: dict[str, Any] = {}
    for rows, prompts in mined:
        for name, fill in fills.items():
            part = getattr(prompts, name)
            if part is not None:
                array = whole.setdefault(name, np.full((count, *part.shape[1:]), fill, dtype=part.dtype))
                array[list(rows)] = part
    return Prompts(**whole)


def scale_boxes(boxes: FloatArray, factor: float, size: tuple[int, int]) -> FloatArray:
    """Boxes grown or shrunk around their centers, cut at the image's border.

    Args:
        boxes: N x 4 float32, (x0, y0, x1, y1), image px.
        factor: by which width and height change, above 0.
        size: (H, W) of the image.

    Returns:
        N x 4 float32.

    >>> scale_boxes(np.array([[10, 10, 30, 20]], np.float32), 1.2, (100, 31)).tolist()
    [[8.0, 9.0, 30.0, 21.0]]
    """
    center, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    grown = np.concatenate([center - factor * half, center + factor * half], axis=1)
    limits = np.array([size[1] - 1, size[0] - 1] * 2)
    clipped: FloatArray = np.clip(grown, 0, limits).astype(np.float32)
    return clipped


def _only(prompts: Prompts, parts: Sequence[str]) -> Prompts:
    return Prompts(
        prompts.point_coords if "point" in parts else None,
        prompts.point_labels if "point" in parts else None,
        prompts.boxes if "box" in parts else None,
        prompts.mask_input if "mask" in parts else None,
    )
