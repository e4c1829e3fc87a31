"""One mask of one image, and what pictures of it are made of: panels, outlines, prompts and captions."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from samref.backbones.backbone import Backbone
from samref.errors import ConfigError
from samref.geometry.masks import pair_iou
from samref.prompts.boxes import BoxPrompt
from samref.prompts.excavation import Excavator
from samref.structures import BoolArray, Embedding, Prompts, Refinement
from samref.visualization.drawing import Canvas, Color, View, outlined, stack_rows, with_box, with_heat, with_points
from samref.visualization.gallery_items import as_fraction, heat_of_image


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
    """What a figure is of.

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


def encode(refiner: PromptedRefiner, subject: Subject) -> Embedding:
    """The embedding of a subject's image."""
    with torch.inference_mode():
        return refiner.backbone.encode(subject.image)


def with_parts(
    refiner: PromptedRefiner, parts: Sequence[str], iterations: int = 1, lam: float | None = None
) -> PromptedRefiner:
    """The refiner with another combination of prompts, number of rounds and lambda; the first is left as it is."""
    prompts = refiner.prompts.using(parts)
    if lam is not None:
        prompts.box = replace(box_prompt(refiner), lam=lam)
    other = copy(refiner)
    other.prompts, other.iterations = prompts, iterations
    return other


def box_prompt(refiner: PromptedRefiner) -> BoxPrompt:
    """How a refiner mines boxes.

    Raises:
        ConfigError: if it is another rule than the elastic box.
    """
    if not isinstance(refiner.prompts.box, BoxPrompt):
        kind = type(refiner.prompts.box).__name__
        raise ConfigError(f"prompts.box is a {kind}; the figures show the elastic box, expected BoxPrompt")
    return refiner.prompts.box


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


def caption_of(name: str, subject: Subject, mask: BoolArray, result: Refinement | None = None) -> str:
    """`NAME, predicted 0.98, IoU 0.91`, as far as the last two are known."""
    predicted = f"predicted {as_fraction(result.predicted_iou[0]):.3f}" if result is not None else ""
    return ", ".join(filter(None, [name, predicted, subject.against(mask)]))


def in_rows(panels: Sequence[Canvas], columns: int = 3) -> Canvas:
    """Panels of one size, row by row."""
    return stack_rows([np.hstack(panels[k : k + columns]) for k in range(0, len(panels), columns)])
