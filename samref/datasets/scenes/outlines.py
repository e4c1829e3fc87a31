"""Outlines of things in a unit frame: x to the right, y down, about 2 units across, centered on the origin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Rng = np.random.Generator


def ellipse(cx: float, cy: float, rx: float, ry: float, turn: float = 0.0) -> Points:
    """An ellipse turned by `turn` radians."""
    t = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    x, y = rx * np.cos(t), ry * np.sin(t)
    return np.stack([cx + x * np.cos(turn) - y * np.sin(turn), cy + x * np.sin(turn) + y * np.cos(turn)], axis=1)


def smooth(points: Sequence[tuple[float, float]] | Points, rounds: int = 4) -> Points:
    """A polygon with its corners cut again and again (Chaikin), which tends to a smooth curve."""
    corners = np.asarray(points, dtype=np.float64)
    for _ in range(rounds):
        ahead = np.roll(corners, -1, axis=0)
        corners = np.stack([0.75 * corners + 0.25 * ahead, 0.25 * corners + 0.75 * ahead], axis=1).reshape(-1, 2)
    return corners


def mirrored(half: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A profile given at the right side, from top to bottom, closed by its mirror image."""
    return [*half, *[(-x, y) for x, y in reversed(half)]]


def wobbly(rng: Rng, radius: float, amount: float, waves: int = 5) -> Points:
    """A circle with low waves of random phase."""
    t = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    r = np.full_like(t, radius)
    for k in range(2, waves + 1):
        r += radius * amount / k * rng.normal() * np.cos(k * t + rng.uniform(0, 2 * np.pi))
    return np.stack([r * np.cos(t), r * np.sin(t)], axis=1)
