"""Tight boxes and context-aware elastic boxes, CEBox (paper, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from samref.errors import ConfigError
from samref.resampling import bilinear_matrix
from samref.structures import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class BoxPrompt:
    """How boxes are mined.

    Attributes:
        lam: the paper's lambda: a side moves out when more than this fraction of its strip is similar to the object;
            0 means the tight box.
        max_pixels: the widest strip, image px.
        steps: rounds of expansion at most.
        strip: width of a strip as a fraction of the box's length in that direction.
        similarity: cosine similarity from which a pixel counts as similar.
    """

    lam: float
    max_pixels: int
    steps: int
    strip: float
    similarity: float

    def __post_init__(self) -> None:
        if not 0 <= self.lam < 1:
            raise ConfigError(f"prompts.box.lam is {self.lam}; expected 0 (tight box) or a fraction below 1")
        if self.max_pixels < 1 or self.steps < 0:
            raise ConfigError(
                f"prompts.box has max_pixels={self.max_pixels}, steps={self.steps}; expected at least 1 and 0"
            )

    @property
    def elastic(self) -> bool:
        """Whether boxes move at all."""
        return self.lam > 0 and self.steps > 0


Window = tuple[slice, slice]


class FeatureMap:
    """Image features under the un-padded part of the model frame, ready for cosine similarities at any pixel.

    `F^`, the features resized bilinearly to the image, is never made: with `R` and `C` the row and column matrices
    of that resize, `q . F^ = R (q . F) C'`, and `|F^|^2` is a quadratic form in at most two neighbouring rows and
    columns, that is `R2 G C2'` with the dot products of neighbouring cells in `G`.
    """

    def __init__(self, features: FloatArray, original_size: tuple[int, int]) -> None:
        """Prepares the features of one image.

        Args:
            features: C x h x w float32, the embedding cropped to the un-padded part.
            original_size: (H, W) of the image.
        """
        self.features = features
        self.grid: tuple[int, int] = (features.shape[1], features.shape[2])
        self.original_size = original_size

    @cached_property
    def gram(self) -> FloatArray:
        """2h x 2w dot products: [[self, right], [down, diagonals]], each right/down pair counted twice."""
        cells = np.ascontiguousarray(np.moveaxis(self.features, 0, -1))
        height, width = self.grid
        gram = np.zeros((2, height, 2, width), dtype=np.float32)
        gram[0, :, 0] = _dots(cells, cells)
        gram[0, :, 1, :-1] = 2 * _dots(cells[:, :-1], cells[:, 1:])
        gram[1, :-1, 0] = 2 * _dots(cells[:-1], cells[1:])
        gram[1, :-1, 1, :-1] = 2 * (_dots(cells[:-1, :-1], cells[1:, 1:]) + _dots(cells[:-1, 1:], cells[1:, :-1]))
        return gram.reshape(2 * height, 2 * width)

    def queries(self, masks: BoolArray, points: FloatArray) -> FloatArray:
        """Mean feature of each mask.

        Args:
            masks: N x H x W bool.
            points: N x 2 (x, y) in image px; where a mask vanishes on the feature grid, the cell under its point
                is used.

        Returns:
            N x C float32.
        """
        # floor(i * size / grid) is what nearest-neighbour interpolation of torch picks.
        rows, columns = (np.arange(n) * size // n for size, n in zip(self.original_size, self.grid, strict=True))
        small = masks[:, rows[:, None], columns].reshape(len(masks), -1).astype(np.float32)
        for lost in np.flatnonzero(small.sum(axis=1) == 0):
            x, y = points[lost]
            row = min(int(y * self.grid[0] / self.original_size[0]), self.grid[0] - 1)
            column = min(int(x * self.grid[1] / self.original_size[1]), self.grid[1] - 1)
            small[lost, row * self.grid[1] + column] = 1.0
        means = small @ self.features.reshape(len(self.features), -1).T
        queries: FloatArray = means / small.sum(axis=1, keepdims=True)
        return queries

    def similar(self, query_map: FloatArray, query_norm: float, window: Window, threshold: float) -> BoolArray:
        """Where `cos(q, F^) >= threshold` inside a window of the image.

        Args:
            query_map: h x w, `q . F`.
            query_norm: |q|.
            window: rows and columns of the image.
            threshold: of the cosine.
        """
        linear_r, linear_c, square_r, square_c = _axis_matrices(self.original_size, self.grid)
        rows, columns = window
        dots = linear_r[rows] @ (query_map @ linear_c[columns].T)
        squares = square_r[rows] @ (self.gram @ square_c[columns].T)
        norms = query_norm * np.sqrt(np.maximum(squares, 0.0))
        similar: BoolArray = dots >= threshold * np.maximum(norms, np.float32(1e-12))
        return similar


def _dots(a: FloatArray, b: FloatArray) -> FloatArray:
    dots: FloatArray = np.einsum("ijc,ijc->ij", a, b)
    return dots


@lru_cache(maxsize=16)
def _axis_matrices(
    original_size: tuple[int, int], grid: tuple[int, int]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Row and column matrices of the resize, and of its squared form (weights w_i^2 beside w_i w_{i+1})."""
    linear = [bilinear_matrix(n, size).toarray() for size, n in zip(original_size, grid, strict=True)]
    square = [np.hstack([m**2, np.pad(m[:, :-1] * m[:, 1:], ((0, 0), (0, 1)))]) for m in linear]
    r, c, r2, c2 = (np.ascontiguousarray(m, dtype=np.float32) for m in (*linear, *square))
    return r, c, r2, c2


def elastic_box(
    box: tuple[int, int, int, int], query: FloatArray, features: FeatureMap, prompt: BoxPrompt
) -> tuple[int, int, int, int]:
    """Moves the sides of one tight box outwards while what lies beyond them resembles the object.

    Args:
        box: (x0, y0, x1, y1), image px, both ends inclusive.
        query: C, the object's mean feature.
        features: of the image.
        prompt: lambda, strip width, rounds.

    Returns:
        A box that contains `box` and lies inside the image.
    """
    height, width = features.original_size
    norm = float(np.linalg.norm(query))
    query_map = (query @ features.features.reshape(len(query), -1)).reshape(features.grid)
    for _ in range(prompt.steps):
        moved = list(box)
        for side, (target, window) in enumerate(_strips(box, (height, width), prompt)):
            if target == box[side]:
                continue
            share = features.similar(query_map, norm, window, prompt.similarity).mean()
            if share > prompt.lam:
                moved[side] = target
        if tuple(moved) == box:
            break
        box = (moved[0], moved[1], moved[2], moved[3])
    return box


def _strips(
    box: tuple[int, int, int, int], original_size: tuple[int, int], prompt: BoxPrompt
) -> list[tuple[int, Window]]:
    """For each side of (x0, y0, x1, y1): where it would move, and the strip between."""
    x0, y0, x1, y1 = box
    height, width = original_size
    dx, dy = (min(prompt.max_pixels, max(1, int(prompt.strip * length))) for length in (x1 - x0 + 1, y1 - y0 + 1))
    left, top = max(x0 - dx, 0), max(y0 - dy, 0)
    right, bottom = min(x1 + dx, width - 1), min(y1 + dy, height - 1)
    rows, columns = slice(y0, y1 + 1), slice(x0, x1 + 1)
    return [
        (left, (rows, slice(left, x0))),
        (top, (slice(top, y0), columns)),
        (right, (rows, slice(x1 + 1, right + 1))),
        (bottom, (slice(y1 + 1, bottom + 1), columns)),
    ]


def elastic_boxes(
    boxes: IntArray, masks: BoolArray, points: FloatArray, features: FeatureMap, prompt: BoxPrompt
) -> tuple[IntArray, BoolArray]:
    """CEBox of N non-empty masks.

    Args:
        boxes: N x 4 tight boxes, image px, both ends inclusive.
        masks: N x H x W bool.
        points: N x 2 positive points (x, y), image px.
        features: of the image.
        prompt: lambda, strip width, rounds.

    Returns:
        N x 4 int64 boxes and N bool: whether any side moved.
    """
    queries = features.queries(masks, points)
    grown = np.array(
        [
            elastic_box((int(b[0]), int(b[1]), int(b[2]), int(b[3])), query, features, prompt)
            for b, query in zip(boxes, queries, strict=True)
        ],
        dtype=np.int64,
    ).reshape(-1, 4)
    return grown, (grown != boxes).any(axis=1)
