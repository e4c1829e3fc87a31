"""The paper's figures that compare: mask prompts, features of other masks, points, defects, qualities, the grid.

Each function returns one picture, h x w x 3 uint8 RGB, with captions that name what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from samref.errors import InputError
from samref.geometry.frames import unpadded_features
from samref.geometry.masks import crop_mask, pair_iou
from samref.prompts.boxes import FeatureMap
from samref.prompts.excavation import PARTS
from samref.prompts.split_then_merge import region_masks, split
from samref.structures import BoolArray, Embedding
from samref.visualization.drawing import (
    COARSE,
    REFINED,
    TRUTH,
    Canvas,
    View,
    captioned,
    outlined,
    stack_rows,
    with_heat,
    with_label,
)
from samref.visualization.paper_figures import PANEL_SIDE, WIDE_PANEL_SIDE, similarity
from samref.visualization.subject import (
    PromptedRefiner,
    Subject,
    caption_of,
    encode,
    in_rows,
    with_outline,
    with_parts,
    with_prompts,
)

GAMMAS = (0.25, 1.0, 4.0, 16.0)
SMALL_PANEL_SIDE = 280
# As a share of the largest part; what is smaller has its surroundings' features, and its label would hide others.
SMALLEST_PART = 0.02


def draw_gaussians(refiner: PromptedRefiner, subject: Subject, gammas: Sequence[float] = GAMMAS) -> Canvas:
    """Fig. 12: the coarse mask itself and Gaussian masks of several widths as mask prompt, and the results."""
    view = View.of(subject.image, PANEL_SIDE)
    setting = refiner.prompts.mask
    forms = {"the coarse mask itself": replace(setting, form="coarse")}
    forms |= {f"Gaussian, gamma {gamma:g}": replace(setting, gamma=gamma) for gamma in gammas}
    prompts, results = [], []
    for name, form in forms.items():
        other = with_parts(refiner, PARTS)
        other.prompts.mask = form
        result = subject.refine(other)
        prompts.append(captioned(with_prompts(view, view.picture, result.prompts, ("mask",)), name))
        drawn = with_outline(view, view.picture, result.masks[0], REFINED, 0.35)
        results.append(captioned(drawn, caption_of("refined", subject, result.masks[0], result)))
    return stack_rows([np.hstack(prompts), np.hstack(results)])


def draw_similarities(refiner: PromptedRefiner, subject: Subject, others: BoolArray | None = None) -> Canvas:
    """Fig. 13: how alike a mask's mean feature is to the image's features, and to those of other masks.

    Args:
        refiner: its backbone encodes the image.
        subject: the mask.
        others: N x H x W bool, masks of other objects; None: the parts of the mask itself, with the largest.

    Raises:
        InputError: if there is nothing to compare.
    """
    masks = _compared(subject, others)
    embedding = encode(refiner, subject)
    cosines = mask_similarities(embedding, masks)[0]
    view = View.of(subject.image, WIDE_PANEL_SIDE)
    heat = view.values(similarity(embedding, masks[0]))
    hot = with_outline(view, with_heat(view.picture, np.clip(heat, 0, 1), even=True), masks[0], COARSE)
    drawn = with_outline(view, outlined(view.picture, view.masks(masks[1:])), masks[0], COARSE, 0.35)
    for k, mask in enumerate(masks):
        crop = crop_mask(mask)
        assert crop is not None
        drawn = with_label(drawn, view, crop.innermost, "mean" if k == 0 else f"{cosines[k]:.2f}")
    count, lowest, highest = len(masks) - 1, cosines[1:].min(), cosines[1:].max()
    kinds = ("part of the mask", "parts of the mask") if others is None else ("other mask", "other masks")
    found = f"{lowest:.2f}" if count == 1 else f"{lowest:.2f} to {highest:.2f}"
    return np.hstack(
        [
            captioned(hot, f"cosine of the mean feature, {heat.min():.2f} to {heat.max():.2f}"),
            captioned(drawn, f"{count} {kinds[count > 1]}: {found}"),
        ]
    )


def mask_similarities(embedding: Embedding, masks: BoolArray) -> npt.NDArray[np.float32]:
    """Cosines between the mean features of N masks.

    Args:
        embedding: of the image.
        masks: N x H x W bool, none of them empty.

    Returns:
        N x N float32 in -1 to 1.
    """
    crops = [crop for mask in masks if (crop := crop_mask(mask)) is not None]
    queries = FeatureMap(unpadded_features(embedding), embedding.original_size).queries(crops)
    unit = queries / np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), np.float32(1e-12))
    cosines: npt.NDArray[np.float32] = unit @ unit.T
    return cosines


def draw_points(refiner: PromptedRefiner, subject: Subject) -> Canvas:
    """Fig. 15: the center of the box and the distance-guided point, each as the only prompt."""
    view = View.of(subject.image, PANEL_SIDE)
    edge = with_outline(view, view.picture, subject.mask, COARSE, 0.35)
    rows = []
    for name, strategy in (("center of the box", "box_center"), ("distance-guided", "distance_guided")):
        other = with_parts(refiner, ("point",))
        other.prompts.point = replace(refiner.prompts.point, strategy=strategy, negative=False)
        result = subject.refine(other)
        drawn = with_outline(view, view.picture, result.masks[0], REFINED, 0.35)
        rows.append(
            np.hstack(
                [
                    captioned(with_prompts(view, edge, result.prompts, ("point",)), name),
                    captioned(drawn, caption_of("refined", subject, result.masks[0], result)),
                ]
            )
        )
    return stack_rows(rows)


def draw_defects(refiner: PromptedRefiner, subjects: Mapping[str, Subject]) -> Canvas:
    """Fig. 2: what each prompt makes of coarse masks with different defects.

    Args:
        refiner: its prompts are tried one by one.
        subjects: a row each, by the name of the defect.
    """
    original = with_parts(refiner, ("mask",))
    original.prompts.mask = replace(refiner.prompts.mask, form="coarse")
    columns = {
        "point": with_parts(refiner, ("point",)),
        "box": with_parts(refiner, ("box",)),
        "coarse mask": original,
        "Gaussian mask": with_parts(refiner, ("mask",)),
        "all": with_parts(refiner, PARTS),
    }
    rows = []
    for name, subject in subjects.items():
        view = View.of(subject.image, SMALL_PANEL_SIDE)
        edge = with_outline(view, view.picture, subject.mask, COARSE, 0.35)
        panels = [captioned(edge, caption_of(name, subject, subject.mask))]
        for prompt, other in columns.items():
            result = subject.refine(other)
            drawn = with_outline(view, view.picture, result.masks[0], REFINED, 0.35)
            drawn = with_prompts(view, drawn, replace(result.prompts, mask_input=None), PARTS)
            panels.append(captioned(drawn, caption_of(prompt, subject, result.masks[0])))
        rows.append(np.hstack(panels))
    return stack_rows(rows)


def draw_qualities(refiner: PromptedRefiner, subjects: Mapping[str, Subject]) -> Canvas:
    """Fig. 16: one object with coarse masks of several qualities, best first where there is a truth, and their results.

    Args:
        refiner: what refines them.
        subjects: of one image, by name.
    """

    def quality(item: tuple[str, Subject]) -> float:
        return 0.0 if item[1].truth is None else -pair_iou(item[1].mask, item[1].truth)

    columns = []
    for name, subject in sorted(subjects.items(), key=quality):
        view = View.of(subject.image, SMALL_PANEL_SIDE)
        result = subject.refine(refiner)
        before = with_outline(view, view.picture, subject.mask, COARSE, 0.35)
        after = with_outline(view, view.picture, result.masks[0], REFINED, 0.35)
        columns.append(
            np.vstack(
                [
                    captioned(before, caption_of(name, subject, subject.mask)),
                    captioned(after, caption_of("refined", subject, result.masks[0])),
                ]
            )
        )
    return np.hstack(columns)


def draw_grid(subject: Subject, segments: BoolArray, refined: Mapping[str, BoolArray]) -> Canvas:
    """Fig. 6: the automatic masks of a grid, and what is made of the coarse mask with and without them.

    Args:
        subject: the coarse mask.
        segments: N x H x W bool, the grid's masks.
        refined: H x W bool by name.
    """
    view = View.of(subject.image, PANEL_SIDE)
    largest_first = segments[np.argsort(-segments.sum(axis=(1, 2)))] if len(segments) else segments
    panels = [
        captioned(
            with_outline(view, view.picture, subject.mask, COARSE, 0.35), caption_of("coarse", subject, subject.mask)
        ),
        captioned(outlined(view.picture, view.masks(largest_first), 1), f"grid: {len(segments)} masks"),
    ]
    for name, mask in refined.items():
        drawn = with_outline(view, view.picture, mask, REFINED, 0.35)
        panels.append(captioned(drawn, caption_of(name, subject, mask)))
    if subject.truth is not None:
        panels.append(captioned(with_outline(view, view.picture, subject.truth, TRUTH, 0.35), "truth"))
    return in_rows(panels)


def _compared(subject: Subject, others: BoolArray | None) -> BoolArray:
    """The mask that others are compared with, and these: N x H x W bool."""
    if others is not None and len(others):
        return np.concatenate([subject.mask[None], others])
    parts = region_masks(split(subject.mask))
    areas = parts.sum(axis=(1, 2))
    parts = parts[areas >= SMALLEST_PART * areas.max()]
    if len(parts) < 2:
        raise InputError(
            "the mask is one region, so there is nothing to compare it with; give masks of other objects by "
            "--others MASK ..."
        )
    largest_first: BoolArray = parts[np.argsort(-parts.sum(axis=(1, 2)), kind="stable")]
    return largest_first
