"""The settings that the page offers, with their labels and limits."""

from __future__ import annotations

from dataclasses import dataclass

from samref.cli.trial import CHOICES, KEYS, Setting, default_settings

LABELS: dict[str, tuple[str] | tuple[str, float, float, float]] = {
    "verdict.source": ("where the masks come from",),
    "verdict.enabled": ("verdict: candidates of several prompts vote, edges decide",),
    "zoom.enabled": ("zoom: small objects in a crop around them",),
    "clean.enabled": ("clean: no crumbs and pinholes of a few px",),
    "guard.enabled": ("guard: keep the mask where its refinement is implausible",),
    "prompts": ("prompts",),
    "prompts.point.strategy": ("points' strategy",),
    "prompts.point.negative": ("negative point",),
    "prompts.box.lam": ("lambda: elasticity of the box (0 = tight)", 0, 0.95, 0.05),
    "prompts.box.max_pixels": ("widest step of the box, px", 1, 50, 1),
    "prompts.box.steps": ("steps of the box at most", 0, 20, 1),
    "prompts.mask.omega": ("omega: strength of the Gaussian mask", 1, 60, 1),
    "prompts.mask.gamma": ("gamma: width of the Gaussian mask", 0.5, 32, 0.5),
    "prompts.mask.form": ("form of the Gaussian mask",),
    "refiner.iterations": ("rounds", 1, 10, 1),
    "refiner.selection": ("which candidate is taken",),
    "refiner.cascade": ("what later rounds prompt with",),
}
assert set(LABELS) == set(KEYS)


@dataclass(frozen=True)
class Control:
    """One setting.

    Attributes:
        key: of the configuration.
        label: beside it.
        value: at first.
        choices: that there are; empty for numbers and switches.
        limits: lowest, highest and step of a number; None for others.
    """

    key: str
    label: str
    value: Setting
    choices: tuple[str, ...]
    limits: tuple[float, float, float] | None


def controls() -> list[Control]:
    """All of them, in the order of the page."""
    defaults = default_settings()
    return [
        Control(key, label, defaults[key], CHOICES.get(key, ()), (limits[0], limits[1], limits[2]) if limits else None)
        for key, (label, *limits) in LABELS.items()
    ]
