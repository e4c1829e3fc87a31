"""The things that lie in procedural scenes: outlines in parts, with holes, in a unit frame.

Unit frame: x to the right, y down, the thing about 2 units across and centered on the origin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from samref.datasets.scenes.outlines import Points, Rng, ellipse, mirrored, smooth, wobbly

Color = tuple[float, float, float]

RED, ORANGE, YELLOW, GREEN = (0.72, 0.14, 0.11), (0.88, 0.46, 0.12), (0.93, 0.76, 0.25), (0.33, 0.52, 0.20)
TEAL, BLUE, NAVY, VIOLET = (0.13, 0.50, 0.50), (0.20, 0.42, 0.70), (0.13, 0.19, 0.36), (0.45, 0.29, 0.55)
PINK, CREAM, WHITE, BROWN = (0.86, 0.52, 0.58), (0.90, 0.84, 0.70), (0.90, 0.90, 0.88), (0.42, 0.26, 0.16)
CHARCOAL, STEEL = (0.17, 0.17, 0.19), (0.56, 0.59, 0.63)
PAINTS = (RED, ORANGE, YELLOW, GREEN, TEAL, BLUE, NAVY, VIOLET, PINK, CREAM, WHITE, CHARCOAL)


@dataclass(frozen=True)
class Part:
    """A piece with one surface.

    Attributes:
        outline: P x 2 (x, y), closed, unit frame.
        color: RGB in 0..1.
        holes: outlines cut out of this piece.
        second: the other color of a two-colored texture.
        texture: name in `scenes_textures.SURFACES`.
        bulge: width of the rounded rim in units: 0 is flat, 1 a pillow.
        gloss: strength of the highlight, 0..1.
    """

    outline: Points
    color: Color
    holes: tuple[Points, ...] = ()
    second: Color = CREAM
    texture: str = "plain"
    bulge: float = 0.5
    gloss: float = 0.15


@dataclass(frozen=True)
class Thing:
    """An object: its parts from back to front, and how far it may be turned from upright, in radians."""

    parts: tuple[Part, ...]
    tilt: float = 0.25


def draw_thing(rng: Rng, kind: str, main: Color, paints: Sequence[Color]) -> Thing:
    """A thing of a kind in a main color and another one of `paints`, a little different each time."""
    others = [paint for paint in paints if paint != main]
    other = others[int(rng.integers(len(others)))]
    thing = KINDS[kind](rng, main, other)
    squeeze = np.array([rng.uniform(0.88, 1.12), rng.uniform(0.92, 1.08)]) * rng.choice([-1, 1], 2) ** [1, 0]
    parts = (
        replace(part, outline=part.outline * squeeze, holes=tuple(hole * squeeze for hole in part.holes))
        for part in thing.parts
    )
    return replace(thing, parts=tuple(parts))


def darker(color: Color, share: float) -> Color:
    """A share of a color's light."""
    return color[0] * share, color[1] * share, color[2] * share


def apple(rng: Rng, main: Color, other: Color) -> Thing:
    """A fruit with a dent, a stalk and a leaf."""
    skins = (RED, GREEN, YELLOW, ORANGE)
    skin = main if main in skins else skins[int(rng.integers(4))]
    half = [(0.04, -0.58), (0.45, -0.82), (0.98, -0.45), (0.92, 0.35), (0.5, 0.9), (0.12, 0.8)]
    stem = smooth([(-0.05, -0.55), (0.02, -0.6), (0.16, -1.0), (0.06, -1.02)], 2)
    leaf = smooth([(0.06, -0.72), (0.3, -1.08), (0.72, -1.1), (0.5, -0.78)], 3)
    return Thing(
        (
            Part(smooth(mirrored(half)), skin, texture="speckled", second=YELLOW, bulge=0.95, gloss=0.5),
            Part(stem, BROWN, bulge=0.06),
            Part(leaf, GREEN, second=(0.22, 0.38, 0.13), texture="veins", bulge=0.15),
        ),
        tilt=0.5,
    )


def mug(rng: Rng, main: Color, other: Color) -> Thing:
    """A mug whose handle leaves a hole."""
    body = smooth([(-0.72, -0.85), (0.62, -0.85), (0.56, 0.85), (0.4, 0.95), (-0.5, 0.95), (-0.66, 0.85)], 2)
    grip, gap = ellipse(0.66, -0.05, 0.46, 0.56), ellipse(0.68, -0.05, 0.26, 0.36)
    texture = ("bands", "dots", "plain", "stripes")[int(rng.integers(4))]
    return Thing(
        (
            Part(grip, main, holes=(gap,), bulge=0.14, gloss=0.4),
            Part(body, main, second=other, texture=texture, bulge=0.55, gloss=0.35),
            Part(ellipse(-0.05, -0.81, 0.6, 0.14), darker(main, 0.55), bulge=0.05),
        )
    )


def donut(rng: Rng, main: Color, other: Color) -> Thing:
    """A ring with icing."""
    hole = ellipse(0, 0, 0.3, 0.3)
    icing = wobbly(rng, 0.8, 0.16, 9)
    return Thing(
        (
            Part(ellipse(0, 0, 0.98, 0.98), (0.76, 0.52, 0.28), holes=(hole,), texture="speckled", bulge=0.4),
            Part(icing, main, holes=(hole * 1.2,), second=other, texture="sprinkles", bulge=0.25, gloss=0.45),
        ),
        tilt=np.pi,
    )


def starfish(rng: Rng, main: Color, other: Color) -> Thing:
    """A soft star with five arms."""
    t = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    r = np.where(np.arange(10) % 2 == 0, 1.25, 0.5) * rng.uniform(0.93, 1.07, 10)
    outline = smooth(np.stack([r * np.sin(t), -r * np.cos(t)], axis=1))
    return Thing((Part(outline, main, second=other, texture="dots", bulge=0.4),), tilt=np.pi)


def leaf(rng: Rng, main: Color, other: Color) -> Thing:
    """A leaf with veins and a stalk."""
    color = (GREEN, (0.62, 0.26, 0.10), ORANGE, (0.55, 0.55, 0.15))[int(rng.integers(4))]
    blade = smooth([(0, -1.15), (0.42, -0.45), (0.5, 0.1), (0.2, 0.75), (-0.2, 0.75), (-0.5, 0.1), (-0.42, -0.45)])
    stalk = smooth([(-0.035, 0.5), (0.035, 0.5), (0.09, 1.1), (0.01, 1.12)], 2)
    dark = darker(color, 0.62)
    return Thing(
        (Part(stalk, dark, bulge=0.05), Part(blade, color, second=dark, texture="veins", bulge=0.12)), tilt=np.pi
    )


def fish(rng: Rng, main: Color, other: Color) -> Thing:
    """A fish with fins, scales and an eye."""
    body = smooth([(-1.0, 0.05), (-0.6, -0.42), (0.1, -0.52), (0.72, -0.08), (0.72, 0.1), (0.1, 0.5), (-0.6, 0.42)])
    tail = smooth([(0.5, 0), (1.12, -0.55), (0.95, 0), (1.12, 0.55)], 2)
    fin = smooth([(-0.35, -0.3), (0.0, -0.92), (0.45, -0.72), (0.38, -0.25)], 3)
    belly = smooth([(-0.2, 0.3), (0.0, 0.72), (0.3, 0.66), (0.25, 0.25)], 3)
    return Thing(
        (
            Part(tail, other, second=main, texture="rays", bulge=0.12),
            Part(fin, other, second=main, texture="rays", bulge=0.12),
            Part(belly, other, bulge=0.12),
            Part(body, main, second=other, texture="scales", bulge=0.45, gloss=0.4),
            Part(ellipse(-0.62, -0.1, 0.1, 0.1), WHITE, bulge=0.05),
            Part(ellipse(-0.63, -0.1, 0.055, 0.055), CHARCOAL, bulge=0.03, gloss=0.6),
        )
    )


def mushroom(rng: Rng, main: Color, other: Color) -> Thing:
    """A dotted cap on a pale stem."""
    cap = smooth([(-1.0, 0.1), (-0.9, -0.55), (-0.3, -1.0), (0.35, -0.98), (0.92, -0.5), (1.0, 0.1), (0.0, 0.22)], 3)
    stem = smooth([(-0.24, -0.1), (0.24, -0.1), (0.26, 0.5), (0.42, 0.95), (-0.42, 0.95), (-0.26, 0.5)], 3)
    return Thing(
        (
            Part(stem, CREAM, texture="fibers", second=(0.74, 0.66, 0.5), bulge=0.25),
            Part(cap, main, second=WHITE, texture="dots", bulge=0.6, gloss=0.3),
        )
    )


def vase(rng: Rng, main: Color, other: Color) -> Thing:
    """A painted vase with a narrow neck."""
    neck, belly = rng.uniform(0.16, 0.34), rng.uniform(0.55, 0.8)
    half = [(0.36, -1.05), (neck, -0.9), (neck, -0.5), (belly, 0.05), (belly, 0.5), (0.42, 1.0), (0.36, 1.05)]
    texture = ("bands", "waves", "stripes", "speckled")[int(rng.integers(4))]
    mouth = darker(main, 0.4)
    return Thing(
        (
            Part(smooth(mirrored(half), 3), main, second=other, texture=texture, bulge=0.6, gloss=0.5),
            Part(ellipse(0, -1.0, 0.27, 0.06), mouth, bulge=0.02),
        )
    )


def key(rng: Rng, main: Color, other: Color) -> Thing:
    """A metal key: a ring, a shaft and teeth."""
    metal = (STEEL, (0.70, 0.55, 0.27))[int(rng.integers(2))]
    shaft = np.array([(0.1, -0.11), (1.15, -0.11), (1.15, 0.11), (0.1, 0.11)])
    teeth = [np.array([(x, 0.0), (x + 0.13, 0.0), (x + 0.13, d), (x, d)]) for x, d in ((0.75, 0.4), (0.98, 0.33))]
    bow = Part(ellipse(-0.4, 0, 0.55, 0.5), metal, holes=(ellipse(-0.52, 0, 0.25, 0.23),), bulge=0.12, gloss=0.6)
    return Thing((*[Part(o, metal, bulge=0.06, gloss=0.6) for o in (shaft, *teeth)], bow), tilt=np.pi)


def ball(rng: Rng, main: Color, other: Color) -> Thing:
    """A painted ball."""
    texture = ("wedges", "bands", "dots", "stripes")[int(rng.integers(4))]
    return Thing(
        (Part(ellipse(0, 0, 0.9, 0.9), main, second=other, texture=texture, bulge=0.9, gloss=0.5),), tilt=np.pi
    )


def duck(rng: Rng, main: Color, other: Color) -> Thing:
    """A bath duck."""
    back = [(-0.9, 0.1), (-0.35, 0.0), (0.3, 0.1), (1.05, -0.3)]
    body = smooth([*back, (0.95, 0.5), (0.4, 0.9), (-0.5, 0.88), (-0.9, 0.6)])
    beak = smooth([(-0.75, -0.55), (-1.2, -0.42), (-1.12, -0.28), (-0.7, -0.3)], 2)
    wing = smooth([(-0.1, 0.2), (0.35, 0.15), (0.8, 0.1), (0.55, 0.5), (0.1, 0.55)], 3)
    return Thing(
        (
            Part(beak, ORANGE, bulge=0.12, gloss=0.4),
            Part(body, main, bulge=0.6, gloss=0.4),
            Part(ellipse(-0.42, -0.42, 0.46, 0.46), main, bulge=0.46, gloss=0.4),
            Part(wing, other, second=main, texture="rays", bulge=0.2, gloss=0.3),
            Part(ellipse(-0.56, -0.52, 0.075, 0.09), CHARCOAL, bulge=0.04, gloss=0.7),
        )
    )


def plant(rng: Rng, main: Color, other: Color) -> Thing:
    """A pot with seven long leaves."""
    pot = smooth([(-0.5, 0.15), (0.5, 0.15), (0.36, 1.05), (-0.36, 1.05)], 1)
    rim = smooth([(-0.57, 0.08), (0.57, 0.08), (0.57, 0.3), (-0.57, 0.3)], 1)
    blades = []
    for angle in np.linspace(-1.15, 1.15, 7) + rng.normal(0, 0.1, 7):
        length, width = rng.uniform(0.9, 1.3), rng.uniform(0.13, 0.2)
        along, across = np.array([np.sin(angle), -np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
        bend = 0.25 * np.sign(angle) * across
        spine = [np.zeros(2), 0.5 * length * along + bend * 0.2, length * along + bend]
        edge = [spine[0], spine[1] + width * across, spine[2], spine[1] - width * across]
        shade = rng.uniform(0.75, 1.15)
        green = darker(GREEN, shade)
        blades.append(
            Part(smooth(np.array(edge) + np.array([0, 0.3]), 3), green, second=GREEN, texture="fibers", bulge=0.1)
        )
    clay = (main, (0.68, 0.36, 0.22))[int(rng.integers(2))]
    pots = (Part(pot, clay, texture="speckled", second=other, bulge=0.35), Part(rim, clay, bulge=0.12))
    return Thing((*blades, *pots))


def teapot(rng: Rng, main: Color, other: Color) -> Thing:
    """A pot with spout, lid and a handle that leaves a hole."""
    spout = smooth([(-0.5, 0.35), (-0.9, 0.0), (-1.2, -0.4), (-1.05, -0.48), (-0.75, -0.2), (-0.45, -0.1)], 3)
    texture = ("bands", "dots", "waves")[int(rng.integers(3))]
    return Thing(
        (
            Part(spout, main, bulge=0.16, gloss=0.45),
            Part(ellipse(0.72, 0.02, 0.46, 0.48), main, holes=(ellipse(0.74, 0.02, 0.3, 0.31),), bulge=0.1, gloss=0.4),
            Part(ellipse(0, 0.15, 0.8, 0.68), main, second=other, texture=texture, bulge=0.65, gloss=0.45),
            Part(ellipse(0, -0.48, 0.42, 0.16), other, bulge=0.15, gloss=0.45),
            Part(ellipse(0, -0.68, 0.11, 0.11), other, bulge=0.11, gloss=0.5),
        )
    )


KINDS: dict[str, Callable[[Rng, Color, Color], Thing]] = {
    function.__name__: function
    for function in (apple, mug, donut, starfish, leaf, fish, mushroom, vase, key, ball, duck, plant, teapot)
}
