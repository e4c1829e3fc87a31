"""The outline of a mask as an SVG path of limited length."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from skimage.measure import find_contours

BoolArray = npt.NDArray[np.bool_]

MAX_PATH_BYTES = 24_000
TOLERANCES = (0.25, 0.5, 1.0, 2.0, 4.0)


def outline(mask: BoolArray, limit: int = MAX_PATH_BYTES) -> str:
    """The outline of an h x w mask as the `d` of an SVG path, to be filled by the even-odd rule.

    The line runs between foreground and background pixels; pixel (x, y) covers x to x + 1 and y to y + 1.

    Args:
        mask: h x w bool.
        limit: most characters; beyond them the line is drawn more coarsely and its smallest parts are left out.

    >>> outline(np.ones((1, 1), bool))  # corners are cut, as between pixels of a larger outline
    'M0.5 1L0 0.5L0.5 0L1 0.5Z'
    """
    # Padded so that outlines along the border of the picture close.
    rings = find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    rings.sort(key=len, reverse=True)
    fitting = rings[: limit // len("M0 0L0 0L0 0Z")]
    words = _coordinates(max(mask.shape))
    for tolerance in TOLERANCES if len(fitting) == len(rings) else TOLERANCES[-1:]:
        parts: list[str] = []
        length = 0
        for ring in fitting:
            part = _ring(ring, tolerance, words)
            length += len(part)
            if length > limit:
                break
            parts.append(part)
        else:
            break
    return "".join(parts)


def shortened(value: float) -> str:
    """A coordinate with one digit behind the point, where it is not 0.

    >>> shortened(3.0), shortened(0.25)
    ('3', '0.2')
    """
    return f"{value:.1f}".removesuffix(".0")


# The corners of an outline lie halfway between pixels: to look up their few coordinates is faster than to write each.
@lru_cache(maxsize=8)
def _coordinates(longest: int) -> list[str]:
    """How 0, 0.5, 1 and so on are written, up to the longest side of a mask."""
    return [shortened(half / 2) for half in range(2 * longest + 1)]


def _ring(ring: npt.NDArray[np.float64], tolerance: float, words: list[str]) -> str:
    corners = cv2.approxPolyDP(ring[:-1].astype(np.float32), tolerance, closed=True)[:, 0]
    if len(corners) < 3:
        corners = ring[:-1]
    # From padded pixel centers to picture px, where pixel 0 is centered at a half.
    halves = (2 * corners - 1).astype(int).tolist()
    return "M" + "L".join([f"{words[x]} {words[y]}" for y, x in halves]) + "Z"
