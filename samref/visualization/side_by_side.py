"""Masks of several runs side by side: a row a mask, a column a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from samref.geometry.masks import pair_iou
from samref.structures import BoolArray, Prompts
from samref.visualization.drawing import COARSE, REFINED, TRUTH, Canvas, View, captioned
from samref.visualization.gallery_items import Window, surroundings
from samref.visualization.subject import with_outline, with_prompts

PANEL_SIDE = 320


@dataclass(frozen=True)
class Refined:
    """What a run made of one mask.

    Attributes:
        name: of the run, as the caption shows it.
        mask: H x W bool.
        prompts: of the mask, image px; may hold none.
    """

    name: str
    mask: BoolArray
    prompts: Prompts = field(default_factory=Prompts)


def draw_row(
    image: Canvas,
    coarse: BoolArray,
    refined: Sequence[Refined],
    truth: BoolArray | None = None,
    title: str = "coarse",
) -> Canvas:
    """One mask: coarse, each run's, the truth where there is one; all cut to where the masks are.

    Args:
        image: H x W x 3 uint8 RGB.
        coarse: H x W bool, not empty.
        refined: a column each.
        truth: H x W bool, or None.
        title: above the coarse mask.

    Returns:
        h x w x 3 uint8 RGB.
    """
    # The truth of a category may fill the image; the picture is of the masks.
    masks = [coarse, *(one.mask for one in refined)]
    window = surroundings(masks, Prompts())
    x0, y0, x1, y1 = window
    view = View.of(np.ascontiguousarray(image[y0:y1, x0:x1]), PANEL_SIDE)

    def score(mask: BoolArray) -> str:
        return f", IoU {pair_iou(mask, truth):.3f}" if truth is not None else ""

    panels = [captioned(_outline(view, coarse, window, COARSE), f"{title}{score(coarse)}")]
    for one in refined:
        drawn = _outline(view, one.mask, window, REFINED)
        drawn = with_prompts(view, drawn, _moved(one.prompts, window), ("box", "point"))
        panels.append(captioned(drawn, f"{one.name}{score(one.mask)}"))
    if truth is not None:
        panels.append(captioned(_outline(view, truth, window, TRUTH), "truth"))
    return np.hstack(panels)


def _outline(view: View, mask: BoolArray, window: Window, color: tuple[int, int, int]) -> Canvas:
    x0, y0, x1, y1 = window
    return with_outline(view, view.picture, np.ascontiguousarray(mask[y0:y1, x0:x1]), color, 0.35)


def _moved(prompts: Prompts, window: Window) -> Prompts:
    corner = np.array(window[:2], np.float32)
    coords = None if prompts.point_coords is None else prompts.point_coords - corner
    boxes = None if prompts.boxes is None else prompts.boxes - np.tile(corner, 2)
    return Prompts(coords, prompts.point_labels, boxes)
