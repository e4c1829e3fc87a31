"""Masks of one image refined under the settings that `samref app` offers."""

from __future__ import annotations

from collections.abc import Mapping

from omegaconf import OmegaConf

from samref.backbones.backbone import Backbone
from samref.config.compose import build, compose_config
from samref.errors import InputError
from samref.prompts.excavation import PARTS
from samref.prompts.gaussian import FORMS
from samref.prompts.points import STRATEGIES
from samref.refiners.samrefiner import CASCADES, SAMRefiner
from samref.refiners.selection import RULES
from samref.refiners.source import AUTO, SOURCES
from samref.structures import BoolArray, Refinement
from samref.visualization.drawing import Canvas
from samref.visualization.paper_figures import COMBINATIONS

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


def refine_masks(
    backbone: Backbone, image: Canvas, masks: BoolArray, settings: Settings, preset: str | None = None
) -> Refinement:
    """Refines the masks of one image, with all candidates.

    Args:
        backbone: one that keeps embeddings spares encoding the image again for every setting.
        image: H x W x 3 uint8 RGB.
        masks: N x H x W bool, coarse.
        settings: some of `KEYS` and their values.
        preset: what the others are taken from, or None.

    Raises:
        InputError: if no mask holds a pixel, or for masks of another size than the image.
        ConfigError: for values that make no sense.
    """
    if not masks.any():
        raise InputError("the mask is empty; paint over the object, or open a mask file that holds it")
    cfg = compose_config(_overrides(preset, settings))
    refiner: SAMRefiner = build(cfg.refiner, backbone=None, prompts=build(cfg.prompts))
    # Handed over past Hydra, which would copy it.
    refiner.backbone, refiner.zoom, refiner.clean = backbone, build(cfg.zoom), build(cfg.clean)
    refiner.guard, refiner.verdict = build(cfg.guard), build(cfg.verdict)
    return refiner.refine(image, masks, keep_candidates=True)


def _overrides(preset: str | None, settings: Settings) -> list[str]:
    chosen = [] if preset is None else [f"+preset={preset}"]
    return ["dataset=folder", *chosen, *(f"{key}={value}" for key, value in settings.items())]
