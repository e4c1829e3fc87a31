"""Automatic masks on a grid of points in place of mined prompts (Table 7)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
from pycocotools import mask as run_lengths

from samref.backbones.backbone import Backbone
from samref.errors import ConfigError
from samref.io.coco_masks import decode, encode_rle
from samref.refiners.mask_generator import MaskGenerator, Rle
from samref.refiners.settling import refine_each
from samref.stopwatch import Stopwatch
from samref.structures import BoolArray, Refinement, Sample


class Rule(Protocol):
    """Makes one mask of an image's grid masks."""

    def __call__(self, coarse: Rle, grid: list[Rle]) -> Rle | None:
        """The refinement of a coarse mask, or None where no grid mask will do; all in compressed run lengths."""
        ...


class Grid:
    """Generates grid masks once an image and lets a rule choose among them for each coarse mask.

    Where the rule finds none, the coarse mask is kept and flagged as `fallback`. `timing` has the image encoder
    (`encode`), the mask decoder (`decode`) and filtering, removal of doubles and choice (`postprocess`).
    """

    def __init__(
        self,
        backbone: Backbone,
        rule: Rule,
        points_per_side: int,
        pred_iou_thresh: float,
        stability_score_thresh: float,
        box_nms_thresh: float,
        chunk_size: int,
    ) -> None:
        """Puts the refiner together.

        Args:
            backbone: the frozen model.
            rule: `BestOverlap` or `UnionInside`.
            points_per_side: of the grid; this and the next four as in `MaskGenerator`.
            pred_iou_thresh: lowest predicted IoU.
            stability_score_thresh: lowest stability.
            box_nms_thresh: IoU of boxes from which two masks are doubles.
            chunk_size: points decoded together at most; bounds memory, never changes results.

        Raises:
            ConfigError: for a count below 1.
        """
        if points_per_side < 1 or chunk_size < 1:
            raise ConfigError(
                f"refiner has points_per_side={points_per_side}, chunk_size={chunk_size}; expected at least 1 for both"
            )
        self.backbone, self.rule = backbone, rule
        self.generate = MaskGenerator(
            backbone, points_per_side, pred_iou_thresh, stability_score_thresh, box_nms_thresh, chunk_size
        )

    def refine_sample(self, sample: Sample, *, keep_candidates: bool = False, keep_logits: bool = False) -> Refinement:
        """Refines the coarse masks of one image; see `samref.refiners.samrefiner.Refiner`.

        Grid masks leave no logits.
        """
        watch = Stopwatch(self.backbone.device)
        grid = self.generate(sample.image, watch) if sample.masks.any() else []

        def refine(row: int) -> BoolArray:
            with watch("postprocess"):
                found = self.rule(encode_rle(sample.masks[row]), grid) if grid else None
                return (
                    np.zeros(sample.original_size, dtype=bool) if found is None else decode(found, sample.original_size)
                )

        return refine_each(sample, refine, watch.seconds)


class BestOverlap:
    """The grid mask of highest IoU with the coarse mask; the first of equals, none where all are 0."""

    def __call__(self, coarse: Rle, grid: list[Rle]) -> Rle | None:
        """See `Rule`."""
        ious = overlaps(grid, coarse, of_grid=False)
        best = int(ious.argmax())
        return grid[best] if ious[best] > 0 else None


class UnionInside:
    """The union of the grid masks that lie mostly inside the coarse mask."""

    def __init__(self, inside: float) -> None:
        """Chooses what mostly means.

        Args:
            inside: a grid mask joins when more than this share of its own area is in the coarse mask.
        """
        if not 0 <= inside < 1:
            raise ConfigError(f"refiner.rule.inside is {inside}; expected a share from 0 to below 1")
        self.inside = inside

    def __call__(self, coarse: Rle, grid: list[Rle]) -> Rle | None:
        """See `Rule`."""
        shares = overlaps(grid, coarse, of_grid=True)
        joining = [mask for mask, share in zip(grid, shares, strict=True) if share > self.inside]
        return run_lengths.merge(joining) if joining else None


def overlaps(grid: list[Rle], coarse: Rle, of_grid: bool) -> npt.NDArray[np.float64]:
    """How K grid masks overlap with a coarse one, from run lengths: exact, and no mask is ever unpacked.

    Args:
        grid: K masks.
        coarse: one mask of the same size.
        of_grid: False: IoU. True: the share of each grid mask's own area that lies in the coarse mask.

    Returns:
        K float64.
    """
    # For a crowd, COCO divides the intersection by the other mask's area.
    shares: npt.NDArray[np.float64] = run_lengths.iou(grid, [coarse], [int(of_grid)])[:, 0]
    return shares
