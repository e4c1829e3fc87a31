"""Tight boxes and context-aware elastic boxes, CEBox (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np

from samref.errors import ConfigError
from samref.geometry.frames import unpadded_features
from samref.geometry.masks import MaskCrop
from samref.geometry.resize import bilinear_matrix
from samref.structures import BoolArray, Embedding, FloatArray, IntArray

PRODUCTS = ("cosine", "dot")


@dataclass(frozen=True)
class BoxPrompt:
    """How boxes are mined.

    Attributes:
        lam: the paper's lambda: a side moves out when more than this fraction of its strip is similar to the object;
            0 means the tight box.
        max_pixels: the widest strip, image px.
        steps: rounds of expansion at most.
        strip: width of a strip as a fraction of the box's length in that direction.
        similarity: cosine, or dot product, from which a pixel counts as similar.
        product: `cosine` (of the features' directions) or `dot` (Eq. 2 as printed, of the features as they are).

    Raises:
        ConfigError: for a lambda, a width or a number of steps outside its range.
    """

    lam: float
    max_pixels: int
    steps: int
    strip: float
    similarity: float
    product: str = "cosine"

    def __post_init__(self) -> None:
        if self.product not in PRODUCTS:
            raise ConfigError(f"prompts.box.product is '{self.product}'; expected {' or '.join(PRODUCTS)}")
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

    def __call__(self, crops: Sequence[MaskCrop], embedding: Embedding) -> tuple[IntArray, BoolArray]:
        """The boxes of N masks of the embedded image, see `BoxRule`."""
        if crops and self.elastic:
            return elastic_boxes(crops, FeatureMap(unpadded_features(embedding), embedding.original_size), self)
        return tight_boxes(crops), np.zeros(len(crops), dtype=bool)


class BoxRule(Protocol):
    """How boxes are mined. A new rule is one class, named by `_target_` in `prompts.box`."""

    def __call__(self, crops: Sequence[MaskCrop], embedding: Embedding) -> tuple[IntArray, BoolArray]:
        """The boxes of N masks of one image.

        Args:
            crops: N non-empty masks.
            embedding: of the image.

        Returns:
            N x 4 int64 (x0, y0, x1, y1), image px, both ends inclusive, and N bool: whether the box differs from the
            tight one.
        """
        ...


Window = tuple[slice, slice]
Box = tuple[int, int, int, int]


class FeatureMap:
    """Image features under the un-padded part of the model frame, ready for cosine similarities at any pixel.

    `F^`, the features resized bilinearly to the image, is never made: with `R` and `C` the row and column matrices
    of that resize, `q . F^ = R (q . F) C'`, and `|F^|^2` is a quadratic form in at most two neighboring rows and
    columns, that is `R2 G C2'` with the dot products of neighboring cells in `G`.
    """

    def __init__(self, features: FloatArray, original_size: tuple[int, int]) -> None:
        """Prepares the features of one image.

        Args:
            features: C x h x w float32, the embedding cropped to the un-padded part.
            original_size: (H, W) of the image.
        """
        self.flat: FloatArray = np.ascontiguousarray(features).reshape(len(features), -1)
        self.grid: tuple[int, int] = (features.shape[1], features.shape[2])
        self.original_size = original_size

    @cached_property
    def gram(self) -> FloatArray:
        """2h x 2w dot products: [[self, right], [down, diagonals]], each right/down pair counted twice."""
        height, width = self.grid
        gram = np.zeros((2, height, 2, width), dtype=np.float32)
        gram[0, :, 0] = self._dots(0)
        gram[0, :, 1, :-1] = 2 * self._dots(1)[:, :-1]
        gram[1, :-1, 0] = 2 * self._dots(width)[:-1]
        gram[1, :-1, 1, :-1] = 2 * (self._dots(width + 1)[:-1, :-1] + self._dots(width - 1)[:-1, 1:])
        return gram.reshape(2 * height, 2 * width)

    def _dots(self, shift: int) -> FloatArray:
        """Dot products (h x w) of each cell with the one `shift` cells on in row-major order; 0 behind the last."""
        count = self.grid[0] * self.grid[1]
        dots = np.zeros(count, dtype=np.float32)
        if shift < count:
            np.einsum("cn,cn->n", self.flat[:, : count - shift], self.flat[:, shift:], out=dots[: count - shift])
        return dots.reshape(self.grid)

    def queries(self, crops: Sequence[MaskCrop]) -> FloatArray:
        """Mean feature of each mask.

        Where a mask vanishes on the feature grid, it is the feature of the cell under its innermost point.

        Args:
            crops: N non-empty masks of the image.

        Returns:
            N x C float32.
        """
        # floor(i * size / grid) is what nearest-neighbor interpolation of torch picks.
        rows, columns = (np.arange(n) * size // n for size, n in zip(self.original_size, self.grid, strict=True))
        small = np.zeros((len(crops), *self.grid), dtype=np.float32)
        for cells, crop in zip(small, crops, strict=True):
            top, bottom = np.searchsorted(rows, (crop.y, crop.y + crop.mask.shape[0]))
            left, right = np.searchsorted(columns, (crop.x, crop.x + crop.mask.shape[1]))
            picked = np.ix_(rows[top:bottom] - crop.y, columns[left:right] - crop.x)
            cells[top:bottom, left:right] = crop.mask[picked]
            if not cells.any():
                x, y = crop.innermost
                row, column = (
                    min(int(v * n / size), n - 1)
                    for v, n, size in zip((y, x), self.grid, self.original_size, strict=True)
                )
                cells[row, column] = 1.0
        flat = small.reshape(len(crops), -1)
        queries: FloatArray = (flat @ self.flat.T) / flat.sum(axis=1, keepdims=True)
        return queries

    def similar(
        self, query_map: FloatArray, query_norm: float, window: Window, threshold: float, product: str = "cosine"
    ) -> BoolArray:
        """Where `cos(q, F^)`, or `q . F^`, is at least a threshold inside a window of the image.

        Args:
            query_map: h x w, `q . F`.
            query_norm: |q|.
            window: rows and columns of the image.
            threshold: of the cosine, or of the dot product.
            product: `cosine` or `dot`.

        Returns:
            Bool, as large as the window.
        """
        linear_r, linear_c, square_r, square_c = _axis_matrices(self.original_size, self.grid)
        rows, columns = window
        dots = _sandwich(linear_r[rows], query_map, linear_c[columns])
        if product == "dot":
            large: BoolArray = dots >= threshold
            return large
        squares = _sandwich(square_r[rows], self.gram, square_c[columns])
        norms = query_norm * np.sqrt(np.maximum(squares, 0.0))
        similar: BoolArray = dots >= threshold * np.maximum(norms, np.float32(1e-12))
        return similar


def _sandwich(rows: FloatArray, array: FloatArray, columns: FloatArray) -> FloatArray:
    """`rows @ array @ columns.T`, the thinner factor first."""
    if len(rows) < len(columns):
        above: FloatArray = np.matmul(rows @ array, columns.T)
        return above
    beside: FloatArray = np.matmul(rows, array @ columns.T)
    return beside


@lru_cache(maxsize=16)
def _axis_matrices(
    original_size: tuple[int, int], grid: tuple[int, int]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Row and column matrices of the resize, and of its squared form (weights w_i^2 beside w_i w_{i+1})."""
    linear = [bilinear_matrix(n, size).toarray() for size, n in zip(original_size, grid, strict=True)]
    square = [np.hstack([m**2, np.pad(m[:, :-1] * m[:, 1:], ((0, 0), (0, 1)))]) for m in linear]
    r, c, r2, c2 = (np.ascontiguousarray(m, dtype=np.float32) for m in (*linear, *square))
    return r, c, r2, c2


def tight_boxes(crops: Sequence[MaskCrop]) -> IntArray:
    """The tight boxes of N masks.

    Args:
        crops: the masks.

    Returns:
        N x 4 int64 (x0, y0, x1, y1), image px, both ends inclusive.
    """
    return np.array([crop.box for crop in crops], dtype=np.int64).reshape(-1, 4)


def elastic_box(box: Box, query_map: FloatArray, query_norm: float, features: FeatureMap, prompt: BoxPrompt) -> Box:
    """Moves the sides of one tight box outward while what lies beyond them resembles the object.

    Args:
        box: (x0, y0, x1, y1), image px, both ends inclusive.
        query_map: h x w, `q . F` with the object's mean feature q.
        query_norm: |q|.
        features: of the image.
        prompt: lambda, strip width, rounds.

    Returns:
        A box that contains `box` and lies inside the image.
    """
    for _ in range(prompt.steps):
        moved = list(box)
        for side, (target, window) in enumerate(_strips(box, features.original_size, prompt)):
            if target == box[side]:
                continue
            similar = features.similar(query_map, query_norm, window, prompt.similarity, prompt.product)
            if np.count_nonzero(similar) > prompt.lam * similar.size:
                moved[side] = target
        if tuple(moved) == box:
            break
        box = (moved[0], moved[1], moved[2], moved[3])
    return box


def _strips(box: Box, original_size: tuple[int, int], prompt: BoxPrompt) -> list[tuple[int, Window]]:
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


def elastic_boxes(crops: Sequence[MaskCrop], features: FeatureMap, prompt: BoxPrompt) -> tuple[IntArray, BoolArray]:
    """CEBox of N masks.

    Args:
        crops: the masks.
        features: of the image.
        prompt: lambda, strip width, rounds.

    Returns:
        N x 4 int64 boxes, image px, both ends inclusive, and N bool: whether any side moved.
    """
    queries = features.queries(crops)
    maps = (queries @ features.flat).reshape(len(crops), *features.grid)
    norms = np.linalg.norm(queries, axis=1)
    boxes = [
        elastic_box(crop.box, query_map, float(norm), features, prompt)
        for crop, query_map, norm in zip(crops, maps, norms, strict=True)
    ]
    grown = np.array(boxes, dtype=np.int64).reshape(-1, 4)
    moved = [box != crop.box for box, crop in zip(boxes, crops, strict=True)]
    return grown, np.array(moved, dtype=bool)
