"""Painting a procedural scene: things placed on a ground, lit from the upper left, with exact masks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from skimage.color import rgb2lab

from samref.datasets.scenes.outlines import Points, Rng
from samref.datasets.scenes.shapes import KINDS, PAINTS, Color, Part, Thing, draw_thing
from samref.datasets.scenes.textures import GROUNDS, SUBPIXEL, SURFACES, Field, clouds, mix
from samref.structures import BoolArray

SUPERSAMPLING = 2
LIGHT = np.array([-0.48, -0.62, 0.62], np.float32)
SHADOW = (0.10, 0.13)  # how far shadows fall to the right and down, in radii of the thing
MIN_CONTRAST = 28.0  # distance in Lab between a thing's color and the ground's
MIN_VISIBLE = 0.6
MIN_INSIDE = 0.9
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Pose:
    """Where a thing lies: center and radius in px of some raster, turn in radians."""

    x: float
    y: float
    radius: float
    turn: float

    def scaled(self, factor: float) -> Pose:
        """The same pose in a raster `factor` times finer; pixel centers stay on pixel centers."""
        return Pose((self.x + 0.5) * factor - 0.5, (self.y + 0.5) * factor - 0.5, self.radius * factor, self.turn)

    def place(self, points: Points) -> Points:
        """Points of the unit frame in px."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        return np.asarray(self.radius * points @ np.array([[c, s], [-s, c]]) + np.array([self.x, self.y]))

    def unit(self, window: Window) -> tuple[Field, Field]:
        """Unit-frame x and y of the pixels of a window."""
        y, x = np.mgrid[window].astype(np.float32)
        dx, dy = (x - self.x) / self.radius, (y - self.y) / self.radius
        c, s = np.cos(self.turn), np.sin(self.turn)
        return np.asarray(c * dx + s * dy, np.float32), np.asarray(c * dy - s * dx, np.float32)


def render_scene(rng: Rng, size: tuple[int, int], count: int) -> tuple[npt.NDArray[np.uint8], BoolArray]:
    """Paints a scene.

    Args:
        rng: decides everything.
        size: (H, W) of the image.
        count: number of things.

    Returns:
        H x W x 3 uint8 RGB, and count x H x W bool: where each thing is seen. The masks do not overlap.
    """
    fine = size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING
    ground = GROUNDS[str(rng.choice(list(GROUNDS)))](rng, size)
    paints = contrasting(ground)
    canvas = cv2.resize(ground, fine[::-1], interpolation=cv2.INTER_LINEAR)
    kinds = rng.permutation(list(KINDS))
    order = rng.permutation(len(paints))
    main = [paints[order[k % len(paints)]] for k in range(count)]
    things = [draw_thing(rng, str(kinds[k % len(kinds)]), main[k], paints) for k in range(count)]
    poses = place_things(rng, things, size)
    seen = np.zeros((count, *fine), np.float32)
    for k, (thing, pose) in enumerate(zip(things, poses, strict=True)):
        window, alpha = _paint(rng, canvas, thing, pose.scaled(SUPERSAMPLING))
        seen[(slice(k), *window)] *= 1 - alpha
        seen[(k, *window)] = alpha
    coverage = np.stack([cv2.resize(s, size[::-1], interpolation=cv2.INTER_AREA) for s in seen])
    return _photograph(rng, canvas, size), coverage > 0.5


def contrasting(ground: Field) -> tuple[Color, ...]:
    """The paints that stand out from a ground: at least the four most distant ones."""
    mean = rgb2lab(np.clip(ground, 0, 1).mean(axis=(0, 1))[None, None])
    distance = np.linalg.norm(rgb2lab(np.array(PAINTS)[None]) - mean, axis=-1)[0]
    order = np.argsort(-distance, kind="stable")
    return tuple(PAINTS[k] for n, k in enumerate(order) if n < 4 or distance[k] > MIN_CONTRAST)


def place_things(rng: Rng, things: list[Thing], size: tuple[int, int]) -> list[Pose]:
    """Poses in image px, later things in front: they may overlap, but every thing stays mostly in sight."""
    shrink = 4
    small = -(-size[0] // shrink), -(-size[1] // shrink)
    poses: list[Pose] = []
    seen: list[BoolArray] = []
    areas: list[int] = []
    largest = 0.34 if len(things) <= 2 else 0.27 if len(things) <= 4 else 0.2
    for thing in things:
        radius = rng.uniform(0.55, 1.0) * largest * min(size)
        while True:
            pose = _propose(rng, thing, radius, size, poses)
            mask = silhouette(thing, pose.scaled(1 / shrink), small)
            whole = silhouette(
                thing, Pose(small[1], small[0], radius / shrink, pose.turn), (2 * small[0], 2 * small[1])
            )
            inside = mask.sum() >= MIN_INSIDE * whole.sum()
            if inside and all((s & ~mask).sum() >= MIN_VISIBLE * a for s, a in zip(seen, areas, strict=True)):
                break
            # Each refusal makes the thing a little smaller, so that a crowded scene fills up all the same.
            radius = max(0.97 * radius, 2.0)
        seen = [s & ~mask for s in seen] + [mask]
        areas.append(int(mask.sum()))
        poses.append(pose)
    return poses


def _propose(rng: Rng, thing: Thing, radius: float, size: tuple[int, int], poses: list[Pose]) -> Pose:
    turn = float(rng.uniform(-thing.tilt, thing.tilt))
    if poses and rng.random() < 0.5:
        near, angle = poses[int(rng.integers(len(poses)))], rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.75, 1.3) * (near.radius + radius)
        return Pose(near.x + reach * float(np.cos(angle)), near.y + reach * float(np.sin(angle)), radius, turn)
    x, y = (float(rng.uniform(min(radius, n / 2), max(n - radius, n / 2))) for n in (size[1], size[0]))
    return Pose(x, y, radius, turn)


def silhouette(thing: Thing, pose: Pose, shape: tuple[int, int]) -> BoolArray:
    """H x W bool: the union of the parts."""
    frame = slice(0, shape[0]), slice(0, shape[1])
    return np.asarray(np.maximum.reduce([_fill(part, pose, frame) for part in thing.parts]) > 127)


def _paint(rng: Rng, canvas: Field, thing: Thing, pose: Pose) -> tuple[Window, Field]:
    """Paints a thing with its shadow into the canvas; returns a window and the thing's coverage in it, 0..1."""
    rings = [pose.place(part.outline) for part in thing.parts]
    window = _window(np.concatenate(rings), 0.5 * pose.radius, canvas)
    layers = [_fill(part, pose, window).astype(np.float32) / 255 for part in thing.parts]
    alpha = np.maximum.reduce(layers)
    _cast_shadow(canvas[window], alpha, pose.radius)
    for part, ring in zip(thing.parts, rings, strict=True):
        own = _window(ring, 3, canvas)
        layer = _fill(part, pose, own).astype(np.float32) / 255
        if layer.size:
            canvas[own] = mix(canvas[own], _surface(rng, part, layer, pose, own), layer)
    return window, alpha


def _window(points: Points, margin: float, canvas: Field) -> Window:
    x0, y0 = np.maximum(0, np.floor(points.min(axis=0) - margin)).astype(int).tolist()
    x1, y1 = np.minimum(canvas.shape[1::-1], np.ceil(points.max(axis=0) + margin)).astype(int).tolist()
    return slice(y0, max(y0, y1)), slice(x0, max(x0, x1))


def _fill(part: Part, pose: Pose, window: Window) -> npt.NDArray[np.uint8]:
    """H x W uint8 coverage of a part in a window."""
    rows, columns = window
    layer = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    origin = np.array([columns.start, rows.start])
    rings = [
        np.rint((pose.place(ring) - origin) * 2**SUBPIXEL).astype(np.int32) for ring in (part.outline, *part.holes)
    ]
    cv2.fillPoly(layer, rings, 255, cv2.LINE_AA, SUBPIXEL)
    return layer


def _cast_shadow(below: Field, alpha: Field, radius: float) -> None:
    """Darkens the ground: a wide soft shadow away from the light, and a narrow dark one at the contact."""
    # Shadows are smooth: a raster four times coarser shows the same at a tenth of the time.
    coarse = max(1, below.shape[1] // 4), max(1, below.shape[0] // 4)
    small = cv2.resize(alpha, coarse, interpolation=cv2.INTER_AREA)
    kept = np.ones_like(small)
    for strength, (dx, dy), blur in ((0.38, SHADOW, 0.10), (0.35, (0.02, 0.03), 0.03)):
        move = np.array([[1, 0, dx * radius / 4], [0, 1, dy * radius / 4]], np.float32)
        moved = cv2.warpAffine(small, move, coarse)
        kept *= 1 - strength * cv2.GaussianBlur(moved, (0, 0), max(0.5, blur * radius / 4))
    below *= cv2.resize(kept, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)[..., None]


def _surface(rng: Rng, part: Part, layer: Field, pose: Pose, window: Window) -> Field:
    """H x W x 3 colors of a part in a window, lit as if its rim were rounded."""
    u, v = pose.unit(window)
    albedo = mix(part.color, part.second, np.asarray(SURFACES[part.texture](rng, u, v), np.float32))
    albedo *= 1 + 0.035 * clouds(rng, (u.shape[0], u.shape[1]), 0.25 * pose.radius, 3)[..., None]
    rim = max(1.5, part.bulge * pose.radius)
    depth = cv2.distanceTransform((layer > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    slope = 1 - np.minimum(depth / rim, 1)
    relief = cv2.GaussianBlur(rim * np.sqrt(np.maximum(1 - slope**2, 0)), (0, 0), max(0.8, 0.16 * rim))
    dx, dy = (cv2.Sobel(relief, cv2.CV_32F, *order, ksize=3) / 8 for order in ((1, 0), (0, 1)))
    normal = np.stack([-dx, -dy, np.ones_like(dx)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = LIGHT / np.linalg.norm(LIGHT)
    diffuse = np.maximum(normal @ light, 0)
    half = (light + np.array([0, 0, 1], np.float32)) / np.linalg.norm(light + np.array([0, 0, 1]))
    shine = np.maximum(normal @ half, 0) ** 40
    return np.asarray(albedo * (0.46 + 0.82 * diffuse)[..., None] + part.gloss * shine[..., None], np.float32)


def _photograph(rng: Rng, canvas: Field, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Uneven light, a lens and a sensor: H x W x 3 uint8."""
    image = cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA)
    y, x = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in size), indexing="ij")
    angle, warmth = rng.uniform(0, 2 * np.pi), rng.uniform(-0.03, 0.05)
    light = 1.1 + 0.14 * (np.cos(angle) * x + np.sin(angle) * y) - 0.14 * (x**2 + y**2)
    image = image * light[..., None] * np.array([1 + warmth, 1, 1 - warmth], np.float32)
    image = cv2.GaussianBlur(image, (0, 0), 0.45)
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0.006, 0.014))
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), np.uint8)
