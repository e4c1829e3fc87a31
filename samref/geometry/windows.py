"""Windows: rectangles of whole pixels, so that what is cut out of an image goes back exactly to where it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from samref.geometry.resize import grid_to_image, image_to_grid
from samref.structures import FloatArray

# Windows begin at multiples of this share of their side: those of neighbouring boxes then often are the same, and none
# depends on which other boxes there are.
LATTICE = 4

Box = tuple[int, int, int, int]
Size = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A rectangle inside an image.

    Attributes:
        x: first column, image px.
        y: first row, image px.
        height: rows.
        width: columns.
    """

    x: int
    y: int
    height: int
    width: int

    @property
    def size(self) -> Size:
        """(h, w)."""
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the image."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def window_around(box: Box, original_size: Size, side: int) -> Window:
    """The window of a given side that is nearest to being centered on a box.

    Args:
        box: (x0, y0, x1, y1), image px, both ends inclusive.
        original_size: (H, W) of the image.
        side: px; an axis along which the image is shorter is in the window from end to end.

    Returns:
        A window inside the image. A box whose sides are at most 3/4 of the window's lies in it, one of at most half of
        it with an eighth of the side to spare, except at the image's border.

    >>> window_around((40, 30, 59, 39), (480, 640), 64)
    Window(x=16, y=0, height=64, width=64)
    """
    (x, width), (y, height) = (
        _interval((box[axis] + box[axis + 2] + 1) / 2, side, original_size[1 - axis]) for axis in (0, 1)
    )
    return Window(x, y, height, width)


def regrid(
    logits: FloatArray, window: Window, original_size: Size, frames: tuple[Size, Size], img_size: int
) -> FloatArray:
    """Moves logits on the grid of a window to the grid of the image.

    Args:
        logits: h x w float32, grid of the window; what lies outside the window gets their least value.
        window: of the image.
        original_size: (H, W) of the image.
        frames: (H', W') in the model frame of the window and of the image.
        img_size: side of the model frame.
    """
    least = logits.min()
    grid = logits.shape
    pixels = [
        grid_to_image(size, resized, img_size, cells)
        for size, resized, cells in zip(window.size, frames[0], grid, strict=True)
    ]
    # Rows, then columns, of both steps.
    resampled = (pixels[1] @ (pixels[0] @ (logits - least)).T).T
    starts = window.y, window.x
    (top, rows), (left, columns) = (
        image_to_grid(size, resized, img_size, cells).on_crop(start, length)
        for size, resized, cells, start, length in zip(original_size, frames[1], grid, starts, window.size, strict=True)
    )
    part = columns(np.ascontiguousarray(rows(resampled).T)).T
    moved = np.full(grid, least, dtype=np.float32)
    moved[top : top + part.shape[0], left : left + part.shape[1]] += part
    return moved


def _interval(center: float, side: int, length: int) -> tuple[int, int]:
    extent = min(side, length)
    step = max(1, side // LATTICE)
    start = math.floor((center - extent / 2) / step + 0.5) * step
    return min(max(start, 0), length - extent), extent
