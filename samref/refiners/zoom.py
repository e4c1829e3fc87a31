"""Zoom: small objects, and objects of large images, are refined in a crop around them that is encoded for itself.

SAM sees every image at one size. An object that is small there has few cells of the logit grid, and in a large image it
also loses what the camera saw of it. A crop gives it more of both. Crops lie on a lattice and their sides go down from
the image's longest side in steps, so that neighbors often share one, and which crop a mask gets depends on its box
alone.

In an image that the model sees at full size, what it makes of the mask there votes with the crop: the mean of both is
better than either. In a large image the crop is better alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from samref.backbones.backbone import Backbone
from samref.errors import ConfigError
from samref.geometry.masks import tight_box
from samref.geometry.windows import Box, Size, Window, window_around
from samref.refiners.views import View
from samref.structures import BoolArray, IntArray

SMALL_OBJECT = "small object: refined in a crop"
LARGE_IMAGE = "large image: refined in a crop"

# The sides of crops are the image's longest side divided by powers of this.
STEP = math.sqrt(2)
# What is magnified less than twice gains nothing.
FEWEST_STEPS = 2
# Below this a box would not be inside its crop, see `window_around`.
LEAST_CONTEXT = 1.5


class Zoom:
    """Chooses the crops of an image's masks."""

    def __init__(self, enabled: bool, context: float, small: float, min_side: int, max_crops: int) -> None:
        """Sets when and how far it zooms in.

        Args:
            enabled: whether it does anything at all.
            context: a crop's side is at least this many times the longest side of the mask's box, and less than 1.5
                times as much; more for what is smaller than `min_side` allows.
            small: masks are refined in crops where the longest side of their box is at most this share of the image's
                longest side; in images larger than the model's frame all masks are for which there is a crop.
            min_side: crops are not smaller than this, px.
            max_crops: of an image; where it takes more, all crops grow by a step until these are enough, and what would
                hardly be magnified any more is refined in the image.

        Raises:
            ConfigError: for values that make no sense.
        """
        if context < LEAST_CONTEXT:
            raise ConfigError(f"zoom.context is {context}; expected {LEAST_CONTEXT:g} or more")
        if not 0 <= small <= 1:
            raise ConfigError(f"zoom.small is {small}; expected a share from 0 to 1")
        if min_side < 1 or max_crops < 1:
            raise ConfigError(f"zoom has min_side={min_side}, max_crops={max_crops}; expected at least 1 for both")
        self.enabled, self.context, self.small = enabled, context, small
        self.min_side, self.max_crops = min_side, max_crops

    def views(self, masks: BoolArray, rows: IntArray, img_size: int) -> list[View]:
        """Where the masks of an image are refined: first the image, then crops from top to bottom.

        Args:
            masks: N x H x W bool.
            rows: of the masks that are not empty, which all are in one view.
            img_size: side of the model frame.

        Returns:
            Views that hold each of the rows once.
        """
        size = masks.shape[1], masks.shape[2]
        boxes = [tight_box(masks[row]) for row in rows]
        windows = self.windows([box for box in boxes if box is not None], size, img_size)
        large = max(size) > img_size
        why = LARGE_IMAGE if large else SMALL_OBJECT
        groups: dict[Window | None, list[int]] = {}
        for row, window in zip(rows, windows, strict=True):
            groups.setdefault(window, []).append(int(row))
        ordered = sorted(groups, key=lambda window: (-1,) if window is None else (window.y, window.x, window.height))
        return [
            View(np.array(groups[window])) if window is None else View(np.array(groups[window]), window, why, not large)
            for window in ordered
        ]

    def windows(self, boxes: Sequence[Box], original_size: Size, img_size: int) -> list[Window | None]:
        """The crop of each mask, None for the image.

        Args:
            boxes: tight boxes of N masks, image px, both ends inclusive.
            original_size: (H, W) of the image.
            img_size: side of the model frame.

        Returns:
            One window a box, image px; None where the box is refined in the image.
        """
        steps = [self._steps(box, original_size, img_size) for box in boxes]
        longest = max(original_size)
        while True:
            windows = [
                window_around(box, original_size, math.ceil(longest / STEP**count)) if count >= FEWEST_STEPS else None
                for box, count in zip(boxes, steps, strict=True)
            ]
            if len(set(windows) - {None}) <= self.max_crops:
                return windows
            steps = [count - 1 for count in steps]

    def _steps(self, box: Box, original_size: Size, img_size: int) -> int:
        """How many steps it is from the image's longest side to the side of the crop."""
        longest = max(original_size)
        extent = max(box[2] - box[0], box[3] - box[1]) + 1
        if longest <= img_size and extent > self.small * longest:
            return 0
        least = max(self.context * extent, self.min_side)
        return max(0, math.floor(math.log(longest / least, STEP)))


def choose_views(zoom: Zoom | None, masks: BoolArray, rows: IntArray, backbone: Backbone) -> list[View]:
    """Where the masks of an image are refined: `Zoom.views` where there is a zoom and it is enabled, else the image.

    Args:
        zoom: or None.
        masks: N x H x W bool.
        rows: of the masks that are not empty; without any there is no view.
        backbone: the frozen model.
    """
    if not len(rows):
        return []
    return [View(rows)] if zoom is None or not zoom.enabled else zoom.views(masks, rows, backbone.img_size)
