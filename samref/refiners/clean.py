"""Clean masks: crumbs and pinholes that the model made are removed, those that the coarse mask has stay.

Logits near 0 leave specks beside an object, dots where its rim crosses the cells of the logit grid, and holes of a few
pixels in it. They cost next to no IoU and are the first thing that is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from samref.errors import ConfigError
from samref.geometry.masks import tight_box
from samref.refiners.source import is_box_like
from samref.structures import REFINED, BoolArray, IntArray, Refinement

# What is larger than this share of the largest part may be a part of the object, however small both are.
LARGEST_SHARE = 0.1


@dataclass(frozen=True)
class Clean:
    """What is too small to be meant.

    Pixels that touch at a corner alone are not connected, so that checkerboards fall apart.

    Attributes:
        enabled: whether it does anything at all.
        crumb: parts of fewer px than this, and less than a tenth of the largest part, are removed where no pixel of
            them is in the coarse mask; in a coarse box or ellipse, which says nothing of shape, wherever they are.
        pinhole: holes of fewer px than this are filled where the coarse mask has every pixel of them.
    """

    enabled: bool
    crumb: int
    pinhole: int

    def __post_init__(self) -> None:
        for name in ("crumb", "pinhole"):
            if getattr(self, name) < 0:
                raise ConfigError(f"clean.{name} is {getattr(self, name)}; expected a number of px, 0 switches it off")

    def __call__(self, coarse: BoolArray, refinement: Refinement) -> Refinement:
        """Cleans the refined masks of one image.

        Args:
            coarse: N x H x W bool, what was refined.
            refinement: changed in place: `masks` and `logits`.
        """
        if not self.enabled:
            return refinement
        for k, flag in enumerate(refinement.flags):
            if flag == REFINED:
                cleaned = self.mask(refinement.masks[k], coarse[k])
                if refinement.logits is not None:
                    changed = cleaned != refinement.masks[k]
                    refinement.logits[k][changed] = np.where(cleaned[changed], np.finfo(np.float32).tiny, 0.0)
                refinement.masks[k] = cleaned
        return refinement

    def mask(self, refined: BoolArray, coarse: BoolArray) -> BoolArray:
        """One mask, H x W bool, without its crumbs and pinholes; `coarse` is the mask that it comes from."""
        box = tight_box(refined)
        if box is None:
            return refined
        inside = slice(box[1], box[3] + 1), slice(box[0], box[2] + 1)
        mask, before = refined[inside], coarse[inside]
        # Holes first: a crumb that is removed would widen the hole that it lies in.
        # The background around the box is no hole.
        found = _parts(np.pad(~mask, 1, constant_values=True))
        if found is not None:
            holes, areas = found
            pinholes = areas < self.pinhole
            pinholes[[0, holes[0, 0]]] = False
            if pinholes.any():
                holes = holes[1:-1, 1:-1]
                pinholes[holes[~mask & ~before]] = False
                mask = mask | pinholes[holes]
        found = _parts(mask)
        if found is not None:
            parts, areas = found
            crumbs = areas < min(self.crumb, LARGEST_SHARE * areas.max())
            crumbs[0] = False
            if crumbs.any():
                if not is_box_like(coarse):
                    crumbs[parts[mask & before]] = False
                mask = mask & ~crumbs[parts]
        cleaned = refined.copy()
        cleaned[inside] = mask
        return cleaned


def _parts(mask: BoolArray) -> tuple[npt.NDArray[np.int32], IntArray] | None:
    """Labels of the connected parts of an h x w mask, and their areas, if there are several.

    Label 0 is all else and has the area 0.
    """
    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    if count <= 2:
        return None
    areas = np.bincount(labels.reshape(-1))
    areas[0] = 0
    return np.asarray(labels, dtype=np.int32), areas
