"""Distance-guided points and the other strategies of Table 2a (paper, section 3.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from samref.errors import ConfigError
from samref.geometry.masks import MaskCrop, outermost
from samref.structures import FloatArray, IntArray

Point = tuple[float, float]


def innermost_point(crop: MaskCrop, seed: int) -> Point:
    """The paper's: the foreground pixel farthest from the background.

    Args:
        crop: a non-empty mask.
        seed: not used.

    Returns:
        (x, y), image px.
    """
    return crop.innermost


def box_center(crop: MaskCrop, seed: int) -> Point:
    """The center of the tight box, which need not be foreground.

    Args:
        crop: a non-empty mask.
        seed: not used.

    Returns:
        (x, y), image px; may lie at half pixels.
    """
    x0, y0, x1, y1 = crop.box
    return (x0 + x1) / 2, (y0 + y1) / 2


def random_point(crop: MaskCrop, seed: int) -> Point:
    """A foreground pixel drawn uniformly.

    Args:
        crop: a non-empty mask.
        seed: of the run; the mask's content and place are part of the draw, its place in a batch is not.

    Returns:
        (x, y), image px.
    """
    content = hashlib.blake2b(np.packbits(crop.in_box).tobytes(), digest_size=8)
    content.update(repr((crop.box, seed)).encode())
    generator = np.random.default_rng(int.from_bytes(content.digest(), "big"))
    rows, columns = np.nonzero(crop.mask)
    index = int(generator.integers(len(rows)))
    return float(crop.x + columns[index]), float(crop.y + rows[index])


# From a mask and a seed to its positive point (x, y), image px. A new strategy is one function and one line here.
STRATEGIES: dict[str, Callable[[MaskCrop, int], Point]] = {
    "distance_guided": innermost_point,
    "box_center": box_center,
    "random": random_point,
}


@dataclass(frozen=True)
class PointPrompt:
    """How points are mined.

    Attributes:
        strategy: name of one of `STRATEGIES`.
        negative: whether a negative point goes with the positive one.
        seed: for `random`; a mask's point depends on the seed and the mask alone, never on batch order.

    Raises:
        ConfigError: for an unknown strategy.
    """

    strategy: str
    negative: bool
    seed: int = 0

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ConfigError(f"prompts.point.strategy is '{self.strategy}'; expected one of {', '.join(STRATEGIES)}")

    def positive(self, crop: MaskCrop) -> Point:
        """The positive point of a mask, by the chosen strategy.

        Args:
            crop: a non-empty mask.

        Returns:
            (x, y), image px.
        """
        return STRATEGIES[self.strategy](crop, self.seed)


def mine_points(crops: list[MaskCrop], prompt: PointPrompt) -> tuple[FloatArray, IntArray]:
    """Points of N non-empty masks.

    Args:
        crops: the masks.
        prompt: how points are mined.

    Returns:
        `point_coords` N x P x 2 float32 (x, y) in image px and `point_labels` N x P int64, with P = 2 if negative
        points are wanted, else 1. A mask without a negative point has label -1 in its place.
    """
    count = 2 if prompt.negative else 1
    coords = np.zeros((len(crops), count, 2), dtype=np.float32)
    labels = np.full((len(crops), count), -1, dtype=np.int64)
    for row, crop in enumerate(crops):
        coords[row, 0], labels[row, 0] = prompt.positive(crop), 1
        negative = outermost(crop) if prompt.negative else None
        if negative is not None:
            coords[row, 1], labels[row, 1] = negative, 0
    return coords, labels
