"""Edge support: which of two contours lies on stronger image edges where the two differ.

Two masks of one object are compared only by the parts of their contours that are disputed, farther than a few pixels
from the other contour. There the image's color gradient decides, without a threshold and without labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from samref.structures import BoolArray, FloatArray

# Closer than this to the other contour, in image px, a contour is not disputed.
DISPUTED = 2.0
# Smoothing before the gradient is taken, image px.
SIGMA = 1.0
# Gradients are divided by this percentile of the image's, so that dim and bright images compare.
PERCENTILE = 95.0


@dataclass(frozen=True)
class Support:
    """Edge support of a refinement against a coarse mask.

    Attributes:
        refined: mean gradient under the disputed part of the refinement's contour; NaN where nothing is disputed.
        coarse: the same for the coarse contour.
        distance: median distance from the refinement's contour to the coarse one, image px; 0 where either is empty.
    """

    refined: float
    coarse: float
    distance: float

    @property
    def decided(self) -> bool:
        """Whether both contours have disputed parts."""
        return not (np.isnan(self.refined) or np.isnan(self.coarse))

    @property
    def for_refinement(self) -> bool:
        """Whether the refinement has the more support; without any dispute it has."""
        return not self.decided or self.refined > self.coarse


def edge_strength(image: npt.NDArray[np.uint8]) -> FloatArray:
    """Strength of the color edges of an image.

    Args:
        image: H x W x 3 uint8 RGB.

    Returns:
        H x W float32, image px: gradient magnitude over the three Lab channels as a multiple of the image's 95th
        percentile, each pixel the maximum of its 3 x 3 neighbors. All 0 for an image of one color.
    """
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = cv2.GaussianBlur(lab, (0, 0), SIGMA)
    across, down = cv2.Sobel(lab, cv2.CV_32F, 1, 0), cv2.Sobel(lab, cv2.CV_32F, 0, 1)
    magnitude = np.sqrt((across**2 + down**2).sum(axis=2))
    scale = float(np.percentile(magnitude, PERCENTILE))
    strength = magnitude / scale if scale > 0 else np.zeros_like(magnitude)
    widened: FloatArray = cv2.dilate(strength, np.ones((3, 3), np.uint8))
    return widened


def contour(mask: BoolArray) -> BoolArray:
    """The pixels of an H x W mask that touch its background; the image's border is no background.

    >>> bool(contour(np.ones((3, 3), dtype=bool)).any())
    False
    """
    inside = cv2.erode(
        mask.view(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=(1.0,) * 4
    )
    edge: BoolArray = mask & (inside == 0)
    return edge


def edge_support(strength: FloatArray, refined: BoolArray, coarse: BoolArray) -> Support:
    """Compares a refinement with the coarse mask it came from.

    Args:
        strength: H x W, of `edge_strength`.
        refined: H x W bool, image px.
        coarse: H x W bool, image px.

    Returns:
        Mean gradients under the disputed parts of both contours, and their distance.
    """
    window = _window(refined | coarse)
    if window is None:
        return Support(np.nan, np.nan, 0.0)
    strength, refined_edge, coarse_edge = strength[window], contour(refined)[window], contour(coarse)[window]
    if not refined_edge.any() or not coarse_edge.any():
        return Support(np.nan, np.nan, 0.0)
    to_coarse, to_refined = _distance(coarse_edge), _distance(refined_edge)
    return Support(
        _mean(strength[refined_edge & (to_coarse > DISPUTED)]),
        _mean(strength[coarse_edge & (to_refined > DISPUTED)]),
        float(np.median(to_coarse[refined_edge])),
    )


def _window(mask: BoolArray) -> tuple[slice, slice] | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _distance(edge: BoolArray) -> FloatArray:
    distance: FloatArray = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else float("nan")
