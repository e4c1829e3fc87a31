"""Excavation: the prompts of all masks of an image, in one combination (paper, Fig. 3a)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from samref.errors import ConfigError
from samref.geometry.masks import MaskCrop, crop_mask
from samref.prompts.boxes import BoxRule, tight_boxes
from samref.prompts.gaussian import GaussianPrompt, gaussian_mask
from samref.prompts.points import PointPrompt, mine_points
from samref.structures import BoolArray, Embedding, FloatArray, Prompts

PARTS = ("point", "box", "mask")


@dataclass(frozen=True)
class Frame:
    """What excavation needs to know of the backbone.

    Attributes:
        img_size: side of the padded model frame, model px.
        mask_input_size: (h, w) of the logit grid.
    """

    img_size: int
    mask_input_size: tuple[int, int]


class Excavator:
    """Mines one of the seven prompt combinations from coarse masks."""

    def __init__(self, use: Sequence[str], point: PointPrompt, box: BoxRule, mask: GaussianPrompt) -> None:
        """Chooses what is mined and how.

        Args:
            use: subset of `point`, `box`, `mask`.
            point: strategy of the points.
            box: how boxes are mined.
            mask: form of the mask prompt.

        Raises:
            ConfigError: for an empty or unknown combination.
        """
        if not use or set(use) - set(PARTS):
            raise ConfigError(f"prompts.use is {list(use)}; expected one or more of {', '.join(PARTS)}")
        self.use = frozenset(use)
        self.point, self.box, self.mask = point, box, mask

    def using(self, use: Sequence[str]) -> Excavator:
        """The same parameters for another combination of prompts.

        Args:
            use: subset of `point`, `box`, `mask`.

        Returns:
            Another excavator.
        """
        return Excavator(use, self.point, self.box, self.mask)

    def __call__(self, masks: Iterable[BoolArray], embedding: Embedding, frame: Frame) -> Prompts:
        """The prompts of N masks.

        Args:
            masks: N masks, H x W bool, none of them empty.
            embedding: of the image; only CEBox looks at its features.
            frame: the backbone's sizes.

        Returns:
            The prompts of the combination, None for the others: points and boxes in image px, mask prompts on the
            logit grid.
        """
        crops = [_require(crop_mask(mask), index) for index, mask in enumerate(masks)]
        boxes, expanded = (
            self.box(crops, embedding) if "box" in self.use else (tight_boxes(crops), np.zeros(len(crops), dtype=bool))
        )
        coords, labels = mine_points(crops, self.point) if "point" in self.use else (None, None)
        return Prompts(
            point_coords=coords,
            point_labels=labels,
            boxes=boxes.astype(np.float32) if "box" in self.use else None,
            mask_input=self._masks(crops, expanded, embedding, frame) if "mask" in self.use else None,
        )

    def _masks(self, crops: list[MaskCrop], expanded: BoolArray, embedding: Embedding, frame: Frame) -> FloatArray:
        # The Gaussian is always centered on the distance-guided point, so that the point ablation (Table 2a)
        # changes the points and nothing else.
        logits = np.empty((len(crops), 1, *frame.mask_input_size), dtype=np.float32)
        for row, crop in enumerate(crops):
            logits[row, 0] = gaussian_mask(
                crop, self.mask, embedding.input_size, frame.img_size, frame.mask_input_size, bool(expanded[row])
            )
        return logits


def _require(crop: MaskCrop | None, index: int) -> MaskCrop:
    if crop is None:
        raise ValueError(f"mask {index} is empty; excavation expects at least one foreground pixel")
    return crop
