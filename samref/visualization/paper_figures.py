"""The paper's explanatory figures for one mask of one image: what is mined from it, and what becomes of it.

Each function returns one picture, h x w x 3 uint8 RGB, with captions that name what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from samref.geometry.frames import unpadded_features, upsample_logits
from samref.geometry.masks import crop_mask, pair_iou, tight_boxes
from samref.prompts.boxes import BoxPrompt, FeatureMap, elastic_boxes
from samref.prompts.excavation import PARTS
from samref.prompts.split_then_merge import SplitThenMerge, region_masks, split
from samref.structures import BoolArray, Embedding, FloatArray, Prompts
from samref.visualization.drawing import (
    COARSE,
    COLORS,
    REFINED,
    TRUTH,
    Canvas,
    View,
    captioned,
    outlined,
    stack_rows,
    with_box,
    with_heat,
)
from samref.visualization.gallery_items import as_fraction
from samref.visualization.subject import (
    PromptedRefiner,
    Subject,
    box_prompt,
    caption_of,
    encode,
    in_rows,
    with_outline,
    with_parts,
    with_prompts,
)

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


def draw_prompts(refiner: PromptedRefiner, subject: Subject) -> Canvas:
    """Fig. 3: the coarse mask, its points, its box, its Gaussian mask, and all of them at once."""
    view = View.of(subject.image, PANEL_SIDE)
    prompts = subject.refine(with_parts(refiner, PARTS)).prompts
    settings = refiner.prompts
    edge = with_outline(view, view.picture, subject.mask, COARSE)
    panels = [
        captioned(
            with_outline(view, view.picture, subject.mask, COARSE, 0.35), caption_of("coarse", subject, subject.mask)
        )
    ]
    for parts, caption in (
        (("point",), f"points, {settings.point.strategy}"),
        (("box",), f"box, lambda {box_prompt(refiner).lam:g}"),
        (("mask",), f"mask, omega {settings.mask.omega:g}, gamma {settings.mask.gamma:g}"),
        (PARTS, "all"),
    ):
        panels.append(captioned(with_prompts(view, edge, prompts, parts), caption))
    if subject.truth is not None:
        panels.append(captioned(with_outline(view, view.picture, subject.truth, TRUTH, 0.35), "truth"))
    return in_rows(panels)


def draw_candidates(
    refiner: PromptedRefiner, subject: Subject, combinations: Sequence[Sequence[str]] = COMBINATIONS
) -> Canvas:
    """Fig. 14: all four tokens' masks, the single-mask one first, by each combination; the chosen one is framed."""
    view = View.of(subject.image, PANEL_SIDE)
    edge = with_outline(view, view.picture, subject.mask, COARSE)
    embedding = encode(refiner, subject)
    rows = []
    for parts in combinations:
        result = subject.refine(with_parts(refiner, parts))
        panels = [captioned(with_prompts(view, edge, result.prompts, parts), " + ".join(parts))]
        for k, (mask, predicted) in enumerate(token_masks(refiner, embedding, result.prompts)):
            chosen = k - 1 == result.chosen[0]
            words = ["single" if k == 0 else "", f"predicted {as_fraction(predicted):.3f}", subject.against(mask)]
            text = ", ".join([*filter(None, words), *(["chosen"] if chosen else [])])
            drawn = with_outline(view, view.picture, mask, REFINED if chosen else COLORS[3], 0.35)
            panels.append(captioned(drawn, text, strong=chosen))
        rows.append(np.hstack(panels))
    return stack_rows(rows)


def token_masks(refiner: PromptedRefiner, embedding: Embedding, prompts: Prompts) -> list[tuple[BoolArray, float]]:
    """The mask of each of SAM's tokens for the first prompted mask, with its predicted IoU.

    Args:
        refiner: its backbone decodes.
        embedding: of the image.
        prompts: of one mask.

    Returns:
        Four pairs: the single-mask token, then the three candidates of multi-mask mode; masks are H x W bool.
    """
    with torch.inference_mode():
        decoded = refiner.backbone.decode(embedding, prompts[:1])
    frames = embedding.input_size, embedding.original_size, refiner.backbone.img_size
    logits = upsample_logits(decoded.low_res_logits.float(), *frames)[0]
    predicted = decoded.iou_predictions[0].float()
    return [(mask.cpu().numpy() > 0, float(value)) for mask, value in zip(logits, predicted, strict=True)]


def draw_box(refiner: PromptedRefiner, subject: Subject) -> Canvas:
    """Fig. 4a: similarity to the object, the box's steps, and the refinement by either box alone."""
    view = View.of(subject.image, WIDE_PANEL_SIDE)
    embedding = encode(refiner, subject)
    heat = view.values(similarity(embedding, subject.mask))
    setting = box_prompt(refiner)
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
        alone = with_parts(refiner, ("box",), lam=lam)
        result = subject.refine(alone)
        drawn = with_box(with_outline(view, view.picture, result.masks[0], REFINED, 0.35), view, box)
        panels.append(captioned(drawn, caption_of(f"by the {name}", subject, result.masks[0], result)))
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
                        with_outline(view, view.picture, union, REFINED, 0.35), caption_of("together", subject, union)
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
    panels = [captioned(coarse, caption_of("coarse", subject, subject.mask))]
    last = subject.mask
    for count in range(1, rounds + 1):
        result = subject.refine(with_parts(refiner, tuple(refiner.prompts.use), iterations=count))
        mask = result.masks[0]
        drawn = with_outline(view, view.picture, mask, REFINED, 0.35)
        drawn = with_prompts(view, drawn, replace(result.prompts, mask_input=None), PARTS)
        caption = f"{caption_of(f'round {count}', subject, mask, result)}, changed {1 - pair_iou(mask, last):.3f}"
        panels.append(captioned(drawn, caption))
        last = mask
    return in_rows(panels)


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
