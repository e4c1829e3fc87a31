"""The paper's explanatory figures for one mask of one image: what is mined from it, and what becomes of it.

Each function returns one picture, h x w x 3 uint8 RGB, with captions that name what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from samref.backbones.backbone import Backbone
from samref.errors import ConfigError
from samref.geometry.frames import unpadded_features
from samref.geometry.masks import crop_mask, pair_iou, tight_boxes
from samref.prompts.boxes import BoxPrompt, FeatureMap, elastic_boxes
from samref.prompts.excavation import PARTS, Excavator
from samref.prompts.split_then_merge import SplitThenMerge, region_masks, split
from samref.structures import BoolArray, Embedding, FloatArray, Prompts, Refinement
from samref.visualization.drawing import (
    COARSE,
    COLORS,
    REFINED,
    TRUTH,
    Canvas,
    Color,
    View,
    captioned,
    outlined,
    stack_rows,
    with_box,
    with_heat,
    with_points,
)
from samref.visualization.gallery_items import as_fraction, heat_of_image

# The rows of Table 1.
COMBINATIONS = (
    ("point",),
    ("box",),
    ("mask",),
    ("point", "box"),
    ("point", "mask"),
    ("box", "mask"),
    ("point", "box", "mask"),
)
Box = tuple[int, int, int, int]

SIMILARITY_SIDE = 256
PANEL_SIDE = 360
WIDE_PANEL_SIDE = 480


class PromptedRefiner(Protocol):
    """What the figures need of a `SAMRefiner`: its prompts and rounds can be set, and its backbone encodes."""

    backbone: Backbone
    prompts: Excavator
    iterations: int

    def refine(
        self,
        image: Canvas,
        masks: npt.ArrayLike,
        truth: npt.ArrayLike | None = None,
        *,
        keep_candidates: bool = False,
    ) -> Refinement:
        """Refines the coarse masks of one image."""
        ...


@dataclass(frozen=True)
class Subject:
    """What the figures are of.

    Attributes:
        image: H x W x 3 uint8 RGB.
        mask: H x W bool, coarse, not empty.
        truth: H x W bool, or None.
    """

    image: Canvas
    mask: BoolArray
    truth: BoolArray | None = None

    def refine(self, refiner: PromptedRefiner, masks: BoolArray | None = None) -> Refinement:
        """The refinement of the mask, or of others (N x H x W), with all candidates."""
        coarse = self.mask[None] if masks is None else masks
        truth = None if self.truth is None or masks is not None else self.truth[None]
        return refiner.refine(self.image, coarse, truth, keep_candidates=True)

    def against(self, mask: BoolArray) -> str:
        """`IoU 0.912` with the truth; empty where there is none."""
        return "" if self.truth is None else f"IoU {pair_iou(mask, self.truth):.3f}"


def draw_prompts(refiner: PromptedRefiner, subject: Subject) -> Canvas:
    """Fig. 3: the coarse mask, its points, its box, its Gaussian mask, and all of them at once."""
    view = View.of(subject.image, PANEL_SIDE)
    prompts = subject.refine(_with_parts(refiner, PARTS, iterations=1)).prompts
    settings = refiner.prompts
    edge = with_outline(view, view.picture, subject.mask, COARSE)
    panels = [
        captioned(
            with_outline(view, view.picture, subject.mask, COARSE, 0.35), _caption("coarse", subject, subject.mask)
        )
    ]
    for parts, caption in (
        (("point",), f"points, {settings.point.strategy}"),
        (("box",), f"box, lambda {_box_prompt(refiner).lam:g}"),
        (("mask",), f"mask, omega {settings.mask.omega:g}, gamma {settings.mask.gamma:g}"),
        (PARTS, "all"),
    ):
        panels.append(captioned(with_prompts(view, edge, prompts, parts), caption))
    if subject.truth is not None:
        panels.append(captioned(with_outline(view, view.picture, subject.truth, TRUTH, 0.35), "truth"))
    return _in_rows(panels)


def draw_candidates(
    refiner: PromptedRefiner, subject: Subject, combinations: Sequence[Sequence[str]] = COMBINATIONS
) -> Canvas:
    """Figs. 12 and 14: the three candidates of each prompt combination; the chosen one has an edge."""
    view = View.of(subject.image, PANEL_SIDE)
    edge = with_outline(view, view.picture, subject.mask, COARSE)
    rows = []
    for parts in combinations:
        result = subject.refine(_with_parts(refiner, parts, iterations=1))
        assert result.candidates is not None
        panels = [captioned(with_prompts(view, edge, result.prompts, parts), " + ".join(parts))]
        for k, candidate in enumerate(result.candidates[0]):
            chosen = k == result.chosen[0]
            words = [f"predicted {result.iou_predictions[0, k]:.3f}", subject.against(candidate)]
            caption = ", ".join([*filter(None, words), *(["chosen"] if chosen else [])])
            drawn = with_outline(view, view.picture, candidate, REFINED if chosen else COLORS[3], 0.35)
            panels.append(captioned(drawn, caption, strong=chosen))
        rows.append(np.hstack(panels))
    return stack_rows(rows)


def draw_box(refiner: PromptedRefiner, subject: Subject) -> Canvas:
    """Figs. 4a and 13: similarity to the object, the box's steps, and the refinement by either box alone."""
    view = View.of(subject.image, WIDE_PANEL_SIDE)
    embedding = _encode(refiner, subject)
    heat = view.values(similarity(embedding, subject.mask))
    setting = _box_prompt(refiner)
    boxes = box_steps(embedding, subject.mask, replace(setting, lam=setting.lam or 0.1))
    alike = view.picture // 3
    alike[heat >= setting.similarity] = view.picture[heat >= setting.similarity]
    edge = with_outline(view, view.picture, subject.mask, COARSE)
    for canvas_box, color in zip(boxes, (COARSE, *[COLORS[5]] * (len(boxes) - 2), REFINED), strict=False):
        alike = with_box(alike, view, canvas_box, color)
        edge = with_box(edge, view, canvas_box, color)
    hot = with_outline(view, with_heat(view.picture, np.clip(heat, 0, 1), even=True), subject.mask, COARSE)
    panels = [
        captioned(hot, f"cosine to the object, {heat.min():.2f} to {heat.max():.2f}"),
        captioned(alike, f"cosine from {setting.similarity:g}; tight box, then {len(boxes) - 1} steps"),
    ]
    for name, lam, box in (("tight box", 0.0, boxes[0]), ("elastic box", setting.lam or 0.1, boxes[-1])):
        alone = _with_parts(refiner, ("box",), iterations=1, lam=lam)
        result = subject.refine(alone)
        drawn = with_box(with_outline(view, view.picture, result.masks[0], REFINED, 0.35), view, box)
        panels.append(captioned(drawn, _caption(f"by the {name}", subject, result.masks[0], result)))
    return stack_rows([np.hstack(panels[:2]), np.hstack(panels[2:])])


def draw_regions(refiner: PromptedRefiner, subject: Subject, merge: SplitThenMerge) -> Canvas:
    """Fig. 10: the regions of a mask, those that are left after merging, and what each way makes of them."""
    view = View.of(subject.image, PANEL_SIDE)
    parts, merged = region_masks(split(subject.mask)), merge(subject.mask)
    rows = []
    for name, regions in (("whole", subject.mask[None]), ("split", parts), ("split, then merged", merged)):
        result = subject.refine(refiner, regions)
        union = np.logical_or.reduce(result.masks, axis=0)
        count = f"{len(regions)} region{'s' if len(regions) > 1 else ''}"
        boxed = outlined(view.picture, view.masks(regions))
        for k, box in enumerate(tight_boxes(regions)):
            boxed = with_box(boxed, view, box, COLORS[k % len(COLORS)])
        each = outlined(view.picture, view.masks(result.masks))
        rows.append(
            np.hstack(
                [
                    captioned(boxed, f"{name}: {count}"),
                    captioned(each, "refined, each"),
                    captioned(
                        with_outline(view, view.picture, union, REFINED, 0.35), _caption("together", subject, union)
                    ),
                ]
            )
        )
    return stack_rows(rows)


def draw_cascade(refiner: PromptedRefiner, subject: Subject, rounds: int) -> Canvas:
    """The mask round by round, each with its prompts.

    Args:
        refiner: its cascade is followed (Fig. 7b).
        subject: what is refined.
        rounds: at least 1.
    """
    view = View.of(subject.image, PANEL_SIDE)
    coarse = with_outline(view, view.picture, subject.mask, COARSE, 0.35)
    panels = [captioned(coarse, _caption("coarse", subject, subject.mask))]
    last = subject.mask
    for count in range(1, rounds + 1):
        result = subject.refine(_with_parts(refiner, tuple(refiner.prompts.use), iterations=count))
        mask = result.masks[0]
        drawn = with_outline(view, view.picture, mask, REFINED, 0.35)
        drawn = with_prompts(view, drawn, replace(result.prompts, mask_input=None), PARTS)
        caption = f"{_caption(f'round {count}', subject, mask, result)}, changed {1 - pair_iou(mask, last):.3f}"
        panels.append(captioned(drawn, caption))
        last = mask
    return _in_rows(panels)


def similarity(embedding: Embedding, mask: BoolArray) -> FloatArray:
    """Cosine of the mean feature of a mask with the features at every place of the image.

    Args:
        embedding: of the image.
        mask: H x W bool, not empty.

    Returns:
        h x w float32 in -1 to 1 over the image, its longest side at `SIMILARITY_SIDE`: smooth, as features are.
    """
    features = unpadded_features(embedding)
    crop = crop_mask(mask)
    assert crop is not None
    query = FeatureMap(features, embedding.original_size).queries([crop])[0]
    factor = SIMILARITY_SIDE / max(embedding.original_size)
    size = [max(1, round(side * factor)) for side in embedding.original_size]
    resized = F.interpolate(torch.from_numpy(features)[None], size, mode="bilinear", align_corners=False)[0]
    cosine: FloatArray = F.cosine_similarity(resized, torch.from_numpy(query)[:, None, None], dim=0).numpy()
    return cosine


def box_steps(embedding: Embedding, mask: BoolArray, setting: BoxPrompt) -> list[Box]:
    """The tight box of a mask and the elastic one after each step that moved a side.

    Args:
        embedding: of the image.
        mask: H x W bool, not empty.
        setting: with `lam` above 0.
    """
    crop = crop_mask(mask)
    assert crop is not None
    features = FeatureMap(unpadded_features(embedding), embedding.original_size)
    boxes = [crop.box]
    for steps in range(1, setting.steps + 1):
        (grown,), _ = elastic_boxes([crop], features, replace(setting, steps=steps))
        box = int(grown[0]), int(grown[1]), int(grown[2]), int(grown[3])
        if box == boxes[-1]:
            break
        boxes.append(box)
    return boxes


def _in_rows(panels: list[Canvas], columns: int = 3) -> Canvas:
    return stack_rows([np.hstack(panels[k : k + columns]) for k in range(0, len(panels), columns)])


def _box_prompt(refiner: PromptedRefiner) -> BoxPrompt:
    if not isinstance(refiner.prompts.box, BoxPrompt):
        kind = type(refiner.prompts.box).__name__
        raise ConfigError(f"prompts.box is a {kind}; the figures show the elastic box, expected BoxPrompt")
    return refiner.prompts.box


def _encode(refiner: PromptedRefiner, subject: Subject) -> Embedding:
    with torch.inference_mode():
        return refiner.backbone.encode(subject.image)


def _with_parts(
    refiner: PromptedRefiner, parts: Sequence[str], iterations: int, lam: float | None = None
) -> PromptedRefiner:
    """The refiner with another combination of prompts, number of rounds and lambda."""
    prompts = refiner.prompts.using(parts)
    if lam is not None:
        prompts.box = replace(_box_prompt(refiner), lam=lam)
    other = copy(refiner)
    other.prompts, other.iterations = prompts, iterations
    return other


def with_outline(view: View, canvas: Canvas, mask: BoolArray, color: Color, tint: float = 0.0) -> Canvas:
    """The picture with a mask of the image, H x W bool, outlined and tinted in one color."""
    return outlined(canvas, view.masks(mask[None]), colors=(color,), tint=tint)


def with_prompts(view: View, canvas: Canvas, prompts: Prompts, parts: Sequence[str]) -> Canvas:
    """The picture with those prompts of the first mask that are among `parts`."""
    if "mask" in parts and prompts.mask_input is not None:
        size = round(view.picture.shape[0] / view.scale[1]), round(view.picture.shape[1] / view.scale[0])
        canvas = with_heat(canvas, view.values(heat_of_image(prompts.mask_input[0, 0], size)))
    if "box" in parts and prompts.boxes is not None:
        canvas = with_box(canvas, view, prompts.boxes[0])
    if "point" in parts and prompts.point_coords is not None and prompts.point_labels is not None:
        canvas = with_points(canvas, view, prompts.point_coords[0], prompts.point_labels[0])
    return canvas


def _caption(name: str, subject: Subject, mask: BoolArray, result: Refinement | None = None) -> str:
    predicted = f"predicted {as_fraction(result.predicted_iou[0]):.3f}" if result is not None else ""
    return ", ".join(filter(None, [name, predicted, subject.against(mask)]))
