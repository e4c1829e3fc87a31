"""What coarse masks are: boxes, rough outlines, a network's output, super-pixel edits or good masks, without labels.

The masks of a data set share one source, and each source calls for another treatment. Three numbers of a few masks show
the sources apart: how often the image's edges support a refinement against the coarse mask, how far the refinement's
contour is from the coarse one, and how much the two overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from samref.geometry.masks import crop_mask, pair_iou
from samref.structures import BoolArray

AUTO = "auto"
BOXES, POLYGONS, NETWORK, SUPERPIXELS, GOOD = "boxes", "polygons", "network", "superpixels", "good"
SOURCES = (BOXES, POLYGONS, NETWORK, SUPERPIXELS, GOOD)

# Share of its tight box that a box fills, and IoU of an ellipse with the one fitted to its outline.
FILLED = 0.97
# Below this share of supported masks the coarse contours lie on edges already; so they do up to the second share where
# the two masks overlap as those of one object do.
GOOD_SUPPORT = (0.3, 0.42)
GOOD_OVERLAP = 0.8
# From this median distance on, image px, contours are rough.
ROUGH_DISTANCE = 2.5
# ... if edges support the refinement of at least this share.
ROUGH_SUPPORT = 0.75
# Contours that lie on edges around the wrong regions: close by median, but with little overlap.
SUPERPIXEL_OVERLAP = 0.79
# Fewer masks than this do not show a source.
FEWEST = 5


@dataclass(frozen=True)
class Evidence:
    """What one coarse mask and its refinement show of the source.

    Attributes:
        box_like: whether the coarse mask is a filled rectangle or ellipse.
        supported: whether edges support the refinement; None where no part of the contours is disputed.
        distance: median distance from the refinement's contour to the coarse one, image px.
        overlap: IoU of refinement and coarse mask.
    """

    box_like: bool
    supported: bool | None
    distance: float
    overlap: float


@dataclass(frozen=True)
class Estimate:
    """The source of a data set's coarse masks.

    Attributes:
        source: one of `SOURCES`, or `auto` where too few masks were seen: each mask decides for itself.
        masks: how many were looked at.
        box_like: share of filled rectangles and ellipses.
        support: share of the other masks whose refinement is supported by edges.
        distance: median over the other masks, image px.
        overlap: mean over the other masks.
    """

    source: str
    masks: int = 0
    box_like: float = 0.0
    support: float = float("nan")
    distance: float = float("nan")
    overlap: float = float("nan")

    def sentence(self) -> str:
        """One line for the screen."""
        if self.source == AUTO:
            return f"{self.masks} coarse masks are too few to show where they come from: each is judged by itself"
        return f"these masks look like {LOOKS[self.source]} ({self.masks} looked at)"


LOOKS = {
    BOXES: "boxes or ellipses: box prompts",
    POLYGONS: "rough outlines: the model's contours replace them",
    NETWORK: "a network's output: changed where edges support it",
    SUPERPIXELS: "super-pixel edits: the coarse mask keeps a share",
    GOOD: "good masks: kept",
}


def is_box_like(mask: BoolArray) -> bool:
    """Whether a mask is a filled upright rectangle or an ellipse.

    Args:
        mask: H x W bool, image px.

    Returns:
        False for an empty mask too.

    >>> is_box_like(np.ones((20, 30), dtype=bool))
    True
    """
    crop = crop_mask(mask)
    if crop is None:
        return False
    if crop.area > FILLED * crop.in_box.size:
        return True
    padded = np.pad(crop.in_box, 1).astype(np.uint8)
    outlines, _ = cv2.findContours(padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    longest = max(outlines, key=len)
    # Five points determine an ellipse; a few more make the fit mean something.
    if len(longest) < 12:
        return False
    ellipse = np.zeros_like(padded)
    cv2.ellipse(ellipse, cv2.fitEllipse(longest), (1.0,), -1)
    return pair_iou(ellipse.astype(np.bool_), padded.astype(np.bool_)) > FILLED


def estimate(evidence: Sequence[Evidence]) -> Estimate:
    """The source that the evidence of some masks of a data set points to.

    Args:
        evidence: of masks spread over the data set, in any order.

    Returns:
        The source, and the numbers that decided it.
    """
    if len(evidence) < FEWEST:
        return Estimate(AUTO, len(evidence))
    others = [one for one in evidence if not one.box_like]
    decided = [one.supported for one in others if one.supported is not None]
    numbers = {
        "masks": len(evidence),
        "box_like": 1 - len(others) / len(evidence),
        "support": float(np.mean(decided)) if decided else float("nan"),
        "distance": float(np.median([one.distance for one in others])) if others else float("nan"),
        "overlap": float(np.mean([one.overlap for one in others])) if others else float("nan"),
    }
    return Estimate(_source(**numbers), **numbers)  # type: ignore[arg-type]


def _source(masks: int, box_like: float, support: float, distance: float, overlap: float) -> str:
    if box_like >= 0.5:
        return BOXES
    # Without any disputed contour, refinement and coarse mask agree: the masks are good.
    if not support > GOOD_SUPPORT[overlap >= GOOD_OVERLAP]:
        return GOOD
    if distance >= ROUGH_DISTANCE and support >= ROUGH_SUPPORT:
        return POLYGONS
    if distance < ROUGH_DISTANCE and overlap < SUPERPIXEL_OVERLAP:
        return SUPERPIXELS
    return NETWORK
