"""One mask of one image, refined under given settings: what `samref app` shows, as pictures and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from omegaconf import OmegaConf

from samref.backbones.backbone import Backbone
from samref.config.compose import build, compose_config
from samref.errors import InputError
from samref.geometry.masks import pair_iou
from samref.prompts.excavation import PARTS
from samref.prompts.gaussian import FORMS
from samref.prompts.points import STRATEGIES
from samref.refiners.samrefiner import CASCADES, SAMRefiner
from samref.refiners.selection import RULES
from samref.refiners.source import AUTO, SOURCES
from samref.structures import BoolArray, Refinement
from samref.visualization.drawing import COARSE, COLORS, REFINED, Canvas, View, captioned
from samref.visualization.gallery_items import as_fraction
from samref.visualization.paper_figures import COMBINATIONS
from samref.visualization.subject import with_outline, with_prompts

Setting = str | float | bool
Settings = Mapping[str, Setting]

# `oracle` needs a truth, which nobody has who tries a mask of their own.
CHOICES: dict[str, tuple[str, ...]] = {
    "prompts": tuple("all" if parts == PARTS else "_".join(parts) for parts in COMBINATIONS),
    "prompts.point.strategy": tuple(STRATEGIES),
    "prompts.mask.form": FORMS,
    "verdict.source": (AUTO, *SOURCES),
    "refiner.selection": tuple(rule for rule in RULES if rule != "oracle"),
    "refiner.cascade": CASCADES,
}
NUMBERS = (
    "prompts.box.lam", "prompts.box.max_pixels", "prompts.box.steps", "prompts.mask.omega", "prompts.mask.gamma",
    "refiner.iterations",
)  # fmt: skip
SWITCHES = ("prompts.point.negative", "verdict.enabled", "zoom.enabled", "clean.enabled", "guard.enabled")
KEYS = (*CHOICES, *NUMBERS, *SWITCHES)

PICTURE_SIDE = 800
SMALL_SIDE = 480
TINT = 0.3


@dataclass(frozen=True)
class Trial:
    """What became of the mask. Pictures are h x w x 3 uint8 RGB.

    Attributes:
        coarse: the mask as it came.
        prompts: its outline, and everything that the last round was prompted with.
        refined: the mask that came out.
        rejected: the refinement that was decided against; None where there is none.
        candidates: the model's three, with what it says of each.
        mask: H x W bool, refined.
        flag: see `Refinement.flags`.
        reason: why this mask came out; empty without a verdict.
        predicted_iou: of the chosen candidate.
        agreement: IoU of the refined with the coarse mask.
        seconds: by stage.
    """

    coarse: Canvas
    prompts: Canvas
    refined: Canvas
    rejected: Canvas | None
    candidates: tuple[Canvas, ...]
    mask: BoolArray
    flag: str
    reason: str
    predicted_iou: float
    agreement: float
    seconds: Mapping[str, float]


def default_settings(preset: str | None = None) -> dict[str, Setting]:
    """What a folder of masks would be refined with, by key of the command line.

    Args:
        preset: option of the config group `preset`, or None.
    """
    cfg = compose_config(_overrides(preset, {}))
    values = {key: OmegaConf.select(cfg, key) for key in KEYS}
    return {**values, "prompts": cfg.hydra_choices.prompts}


def changed_settings(preset: str | None, settings: Settings) -> list[str]:
    """The words after `run.py` that say these settings; what the configuration says by itself is left out."""
    defaults = default_settings(preset)
    changed = {key: value for key, value in settings.items() if value != defaults[key]}
    return _overrides(preset, changed)


def make_trial(
    backbone: Backbone, image: Canvas, mask: BoolArray, settings: Settings, preset: str | None = None
) -> Trial:
    """Refines one mask.

    Args:
        backbone: one that keeps embeddings spares encoding the image again for every setting.
        image: H x W x 3 uint8 RGB.
        mask: H x W bool, coarse.
        settings: some of `KEYS` and their values.
        preset: what the others are taken from, or None.

    Raises:
        InputError: for an empty mask, or one of another size than the image.
        ConfigError: for values that make no sense.
    """
    if not mask.any():
        raise InputError("the mask is empty; paint over the object, or drop a mask file that holds it")
    cfg = compose_config(_overrides(preset, settings))
    refiner: SAMRefiner = build(cfg.refiner, backbone=None, prompts=build(cfg.prompts))
    # Handed over past Hydra, which would copy it.
    refiner.backbone, refiner.zoom, refiner.clean = backbone, build(cfg.zoom), build(cfg.clean)
    refiner.guard, refiner.verdict = build(cfg.guard), build(cfg.verdict)
    result = refiner.refine(image, mask, keep_candidates=True)
    view, small = View.of(image, PICTURE_SIDE), View.of(image, SMALL_SIDE)
    outline = with_outline(small, small.picture, mask, COARSE)
    return Trial(
        coarse=with_outline(view, view.picture, mask, COARSE, TINT),
        prompts=captioned(with_prompts(small, outline, result.prompts, PARTS), f"prompts{_of_round(refiner)}"),
        refined=with_outline(view, view.picture, result.masks[0], REFINED, TINT),
        rejected=_rejected(small, result),
        candidates=tuple(_candidate(small, result, k) for k in range(3)),
        mask=result.masks[0],
        flag=result.flags[0],
        reason=result.reasons[0] if result.reasons else "",
        predicted_iou=float(result.predicted_iou[0]),
        agreement=pair_iou(mask, result.masks[0]),
        seconds=result.timing,
    )


def _of_round(refiner: SAMRefiner) -> str:
    return f" of round {refiner.iterations}" if refiner.iterations > 1 else ""


def _rejected(view: View, result: Refinement) -> Canvas | None:
    if 0 not in result.rejected:
        return None
    return captioned(with_outline(view, view.picture, result.rejected[0], COLORS[3], TINT), "rejected")


def _candidate(view: View, result: Refinement, k: int) -> Canvas:
    assert result.candidates is not None
    chosen = k == result.chosen[0]
    drawn = with_outline(view, view.picture, result.candidates[0, k], REFINED if chosen else COLORS[3], TINT)
    predicted = as_fraction(result.iou_predictions[0, k])
    caption = f"candidate {k + 1}: predicted IoU {predicted:.3f}{', chosen' if chosen else ''}"
    return captioned(drawn, caption, strong=chosen)


def _overrides(preset: str | None, settings: Settings) -> list[str]:
    chosen = [] if preset is None else [f"+preset={preset}"]
    return ["dataset=folder", *chosen, *(f"{key}={value}" for key, value in settings.items())]
