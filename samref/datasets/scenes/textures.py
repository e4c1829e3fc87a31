"""Surfaces of things and grounds they lie on, as arrays of colors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from samref.datasets.scenes.outlines import Rng
from samref.datasets.scenes.shapes import Color

# Values of single precision; a wider type only because NumPy's own stubs lose track of it in arithmetic.
Field = npt.NDArray[np.floating[Any]]
Surface = Callable[[Rng, Field, Field], Field]
Ground = Callable[[Rng, tuple[int, int]], Field]

SUBPIXEL = 4  # bits of cv2's sub-pixel coordinates


def noise(rng: Rng, shape: tuple[int, int], cell: tuple[float, float]) -> Field:
    """Smooth noise of unit deviation whose features are about `cell` (rows, columns) pixels large."""
    coarse = tuple(max(2, round(n / c) + 2) for n, c in zip(shape, cell, strict=True))
    seed = rng.standard_normal(coarse, dtype=np.float32)
    return np.asarray(cv2.resize(seed, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def clouds(rng: Rng, shape: tuple[int, int], cell: float, octaves: int = 4, stretch: float = 1.0) -> Field:
    """Noise over several octaves; `stretch` > 1 draws it out along x."""
    total = np.zeros(shape, np.float32)
    for k in range(octaves):
        size = max(2.0, cell / 2**k)
        total += noise(rng, shape, (size, size * stretch)) / 2**k
    return total


def step(values: Field, softness: float) -> Field:
    """0 below, 1 above zero, with a soft change as wide as `softness` on both sides."""
    return np.asarray(np.clip(values / (2 * softness) + 0.5, 0, 1), np.float32)


def plain(rng: Rng, x: Field, y: Field) -> Field:
    """One color."""
    return np.zeros_like(x)


def stripes(rng: Rng, x: Field, y: Field) -> Field:
    """Upright stripes."""
    return step(np.sin(rng.uniform(9, 15) * x + rng.uniform(0, 6)), 0.2)


def bands(rng: Rng, x: Field, y: Field) -> Field:
    """A wide band between two thin ones, all around."""
    middle, width = rng.uniform(-0.2, 0.3), rng.uniform(0.1, 0.25)
    wide = step(width - np.abs(y - middle), 0.02)
    thin = step(0.03 - np.abs(np.abs(y - middle) - width - 0.1), 0.01)
    return np.maximum(wide, thin)


def waves(rng: Rng, x: Field, y: Field) -> Field:
    """Wavy bands."""
    return step(np.sin(rng.uniform(9, 14) * (y + 0.09 * np.sin(9 * x)) + rng.uniform(0, 6)), 0.15)


def dots(rng: Rng, x: Field, y: Field) -> Field:
    """Round dots in a honeycomb."""
    pitch, radius = rng.uniform(0.3, 0.45), rng.uniform(0.22, 0.32)
    row = np.floor(y / (0.866 * pitch))
    across = np.mod(x / pitch + 0.5 * np.mod(row, 2), 1) - 0.5
    down = (np.mod(y / (0.866 * pitch), 1) - 0.5) * 0.866
    return step(radius - np.hypot(across, down), 0.03)


def sprinkles(rng: Rng, x: Field, y: Field) -> Field:
    """Short strokes in all directions."""
    marks = np.zeros_like(x)
    for _ in range(46):
        cx, cy, turn = rng.uniform(-0.85, 0.85), rng.uniform(-0.85, 0.85), rng.uniform(0, np.pi)
        along = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        across = -(x - cx) * np.sin(turn) + (y - cy) * np.cos(turn)
        marks = np.maximum(marks, step(1 - np.hypot(along / 0.07, across / 0.025), 0.25))
    return marks


def wedges(rng: Rng, x: Field, y: Field) -> Field:
    """Six wedges, as on a beach ball."""
    return step(np.sin(3 * np.arctan2(y - 0.15, x - 0.2) + rng.uniform(0, 6)), 0.05)


def rays(rng: Rng, x: Field, y: Field) -> Field:
    """Fine rays from the middle."""
    return 0.6 * step(np.sin(24 * np.arctan2(y, x + 0.05)), 0.5)


def scales(rng: Rng, x: Field, y: Field) -> Field:
    """Scales behind the head of a fish."""
    pitch = 0.19
    row = np.floor(y / (0.5 * pitch))
    across = np.mod(x / pitch + 0.5 * np.mod(row, 2), 1) - 0.5
    down = np.mod(y / (0.5 * pitch), 1) - 1
    return 0.75 * step(np.abs(np.hypot(across, 0.6 * down) - 0.42) - 0.1, 0.05) * step(x + 0.35, 0.08)


def veins(rng: Rng, x: Field, y: Field) -> Field:
    """A rib with side veins."""
    side = np.mod(4.5 * (y + 0.9 * np.abs(x)), 1) - 0.5
    rib = step(0.03 - np.abs(x), 0.015)
    return np.asarray(0.8 * np.maximum(rib, 0.7 * step(0.08 - np.abs(side), 0.06)), np.float32)


def fibers(rng: Rng, x: Field, y: Field) -> Field:
    """Fine upright fibers."""
    return np.asarray(0.5 + 0.3 * np.sin(40 * x + 4 * np.sin(3 * y)), np.float32)


def speckled(rng: Rng, x: Field, y: Field) -> Field:
    """Speckles, denser toward the lower right."""
    fine = noise(rng, (x.shape[0], x.shape[1]), (5, 5))
    return np.asarray(0.55 * step(fine - 1.5, 0.3) + 0.25 * step(y + 0.3 * x - 0.5, 0.6), np.float32)


SURFACES: dict[str, Surface] = {
    function.__name__: function
    for function in (
        plain, stripes, bands, waves, dots, sprinkles, wedges, rays, scales, veins, fibers, speckled,
    )
}  # fmt: skip


def mix(first: Color | Field, second: Color | Field, share: Field) -> Field:
    """H x W x 3 between two colors, `share` (H x W) of the second."""
    a, b = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return np.asarray(a + (b - a) * share[..., None], np.float32)


def wood(rng: Rng, shape: tuple[int, int]) -> Field:
    """Planks with grain along x."""
    dark, light = (((0.36, 0.22, 0.12), (0.62, 0.43, 0.26)), ((0.55, 0.44, 0.32), (0.78, 0.68, 0.53)))[rng.integers(2)]
    height = shape[0] / int(rng.integers(3, 6))
    y = np.arange(shape[0], dtype=np.float32)[:, None] + rng.uniform(0, height)
    plank, inside = np.floor(y / height).astype(int), np.mod(y, height)
    tones = rng.normal(0, 0.12, plank.max() + 1).astype(np.float32)
    rings = np.sin(clouds(rng, shape, shape[0] / 7, 2, stretch=6) * 6 + 0.05 * y)
    grain = 0.45 + 0.22 * rings + 0.1 * clouds(rng, shape, 4, 2, stretch=24) + tones[plank]
    gap = step(np.broadcast_to(1.2 - np.minimum(inside, height - inside), shape).astype(np.float32), 0.7)
    return mix(dark, light, np.clip(grain, 0, 1)) * (1 - 0.6 * gap[..., None])


def cloth(rng: Rng, shape: tuple[int, int]) -> Field:
    """Woven threads with soft folds."""
    base = ((0.72, 0.69, 0.62), (0.42, 0.50, 0.56), (0.62, 0.50, 0.45), (0.50, 0.55, 0.45))[rng.integers(4)]
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    weave = 0.035 * (np.sin(x * 2.2) + np.sin(y * 2.2)) + 0.03 * clouds(rng, shape, 5, 1)
    folds = 0.07 * clouds(rng, shape, shape[0] / 2.5, 2)
    return np.asarray(np.array(base, np.float32) * (1 + weave + folds)[..., None], np.float32)


def stone(rng: Rng, shape: tuple[int, int]) -> Field:
    """Marble or slate: clouds and thin veins."""
    dark, light = (((0.62, 0.62, 0.63), (0.88, 0.87, 0.85)), ((0.27, 0.29, 0.32), (0.45, 0.47, 0.49)))[rng.integers(2)]
    body = 0.5 + 0.22 * clouds(rng, shape, shape[0] / 4, 5)
    veins_ = np.exp(-np.abs(clouds(rng, shape, shape[0] / 3, 4)) * 26)
    return mix(dark, light, np.clip(body - 0.45 * veins_, 0, 1))


def grass(rng: Rng, shape: tuple[int, int]) -> Field:
    """Blades over soil."""
    canvas = mix((0.16, 0.21, 0.08), (0.27, 0.33, 0.13), np.clip(0.5 + 0.25 * clouds(rng, shape, 60), 0, 1))
    count = 4500 * shape[1] // shape[0]
    roots = rng.uniform((-8, -8), (shape[1] + 8, shape[0] + 24), (count, 2))
    lengths = rng.uniform(0.02, 0.045, count) * shape[0]
    tips = roots + np.stack([rng.normal(0, 0.45, count) * lengths, -lengths], axis=1)
    shades = rng.uniform(0.55, 1.2, (count, 1)) * np.array([0.36, 0.46, 0.17]) + rng.normal(0, 0.02, (count, 3))
    width = max(1, round(shape[0] / 420))
    ends = np.rint(np.stack([roots, tips], axis=1) * 2**SUBPIXEL).astype(int)
    for (root, tip), shade in zip(ends.tolist(), shades.tolist(), strict=True):
        cv2.line(canvas, root, tip, shade, width, cv2.LINE_AA, SUBPIXEL)
    return canvas


def sand(rng: Rng, shape: tuple[int, int]) -> Field:
    """Grains, ripples and pebbles."""
    base = ((0.77, 0.68, 0.52), (0.60, 0.57, 0.53))[rng.integers(2)]
    y = np.arange(shape[0], dtype=np.float32)[:, None]
    ripples = np.sin(y * 60 / shape[0] + 2.5 * clouds(rng, shape, shape[0] / 3, 2, stretch=2))
    light = 1 + 0.05 * ripples + 0.07 * clouds(rng, shape, 4, 1) + 0.05 * clouds(rng, shape, shape[0] / 3)
    pebbles = step(clouds(rng, shape, 8, 1) - 2.4, 0.15)
    return np.asarray(np.array(base, np.float32) * (light - 0.25 * pebbles)[..., None], np.float32)


def tiles(rng: Rng, shape: tuple[int, int]) -> Field:
    """Ceramic squares with grout."""
    base = ((0.80, 0.78, 0.74), (0.36, 0.52, 0.58), (0.74, 0.58, 0.48))[rng.integers(3)]
    side = shape[0] / rng.uniform(4, 7)
    y, x = (np.arange(n, dtype=np.float32) + rng.uniform(0, side) for n in shape)
    row, column = (y // side).astype(int), (x // side).astype(int)
    tone = rng.normal(1, 0.05, (row.max() + 1, column.max() + 1)).astype(np.float32)[row[:, None], column[None]]
    edge = np.minimum(*np.broadcast_arrays(*(np.minimum(v % side, side - v % side) for v in (y[:, None], x[None]))))
    glaze = tone + 0.03 * clouds(rng, shape, side / 3)
    grout = step(0.035 * side - edge, 1.5)
    return mix(np.array(base, np.float32) * glaze[..., None], (0.55, 0.53, 0.5), grout)


GROUNDS: dict[str, Ground] = {function.__name__: function for function in (wood, cloth, stone, grass, sand, tiles)}
