"""Masks as polygons and back: outlines, parts with holes, and one ring that holds several of both.

Points are (x, y) in image px with pixel borders at integers, as in COCO; a pixel belongs to a polygon if its center
lies inside. Outlines run half-way between foreground and background pixels, so that rasterizing them brings back just
the pixels inside. Those through the rim's pixel centers that OpenCV draws lose a border of the mask.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from scipy.spatial import Delaunay
from skimage.measure import find_contours

from samref.geometry.masks import tight_box
from samref.structures import BoolArray

# N x 2 float64; the last point is not the first one again.
Ring = npt.NDArray[np.float64]

# Deviation in px up to which points of an outline are one line; from 0.3 on pixels change sides.
STRAIGHT = 0.2


def rasterize(rings: Sequence[Ring], size: tuple[int, int]) -> BoolArray:
    """The union of polygons, each filled by the even-odd rule.

    Args:
        rings: N x 2 points (x, y) each, image px.
        size: (H, W) of the image.

    Returns:
        H x W bool.

    >>> rasterize([np.array([[1.0, 0.0], [3.0, 0.0], [3.0, 1.0], [1.0, 1.0]])], (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 0, 0, 0]]
    """
    flat = [ring.reshape(-1).tolist() for ring in rings if len(ring) >= 3]
    if not flat:
        return np.zeros(size, bool)
    return np.ascontiguousarray(coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, *size))).astype(bool))


def outlines(mask: BoolArray, tolerance: float = 0.0) -> list[Ring]:
    """The outlines of an H x W mask; a hole's is one more of them, and turns the other way.

    Args:
        mask: H x W bool.
        tolerance: px by which an outline may deviate to have fewer points; 0: no pixel changes sides.

    Returns:
        Rings in the order of their first pixels.
    """
    box = tight_box(mask)
    if box is None:
        return []
    x0, y0, x1, y1 = box
    padded = np.zeros((y1 - y0 + 3, x1 - x0 + 3))
    padded[1:-1, 1:-1] = mask[y0 : y1 + 1, x0 : x1 + 1]
    # Pixel centers are at halves; the padding takes off one.
    offset = np.array([x0, y0]) - 0.5
    found = [contour[:-1, ::-1] for contour in find_contours(padded, 0.5)]
    return [_straightened(contour, max(tolerance, STRAIGHT)).astype(np.float64) + offset for contour in found]


def one_ring(mask: BoolArray, tolerance: float = 0.0) -> Ring:
    """A non-empty H x W mask as one polygon, with its parts and holes joined by bridges of no width.

    Each outline is entered from the nearest point of those before it, and left by the same line, as formats of one
    polygon an object join several. By the even-odd rule a bridge encloses nothing, and a hole stays one.

    Args:
        mask: H x W bool with at least one pixel.
        tolerance: see `outlines`.

    Returns:
        The polygon. With a tolerance of 0 it rasterizes to the mask, pixel for pixel.
    """
    return bridged(outlines(mask, tolerance))


def bridged(rings: Sequence[Ring]) -> Ring:
    """Several rings as one, joined by the shortest lines to and fro that join them all.

    Args:
        rings: at least one; the longest is the first.

    Returns:
        The joined ring.
    """
    if len(rings) == 1:
        return rings[0]
    doors: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for a, b in _bridges(rings):
        doors[a].append(b)
        doors[b].append(a)
    first = max(range(len(rings)), key=lambda k: len(rings[k]))
    joined = []
    # Each entry is a ring, where it was entered, the place that is next, and the doors there that are left.
    stack = [(first, 0, 0, list(doors[(first, 0)]))]
    seen = {first}
    while stack:
        ring, start, step, left = stack.pop()
        place = (start + step) % len(rings[ring])
        joined.append(rings[ring][place])
        other = next((door for door in left if door[0] not in seen), None)
        if other is not None:
            seen.add(other[0])
            stack.append((ring, start, step, left))
            stack.append((other[0], other[1], 0, list(doors[other])))
        elif step < len(rings[ring]):
            after = (start + step + 1) % len(rings[ring])
            # Back at the start all doors have been used.
            stack.append((ring, start, step + 1, list(doors[(ring, after)])))
    # The last point of the first ring is its first one.
    return np.array(joined[:-1])


def _bridges(rings: Sequence[Ring]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """The shortest lines that join all rings: pairs of (ring, place in it). They are edges of a triangulation."""
    points = np.concatenate(rings)
    owner = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    place = np.concatenate([np.arange(len(ring)) for ring in rings])
    corners = Delaunay(points).simplices
    edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    edges = np.unique(np.sort(edges[owner[edges[:, 0]] != owner[edges[:, 1]]], axis=1), axis=0)
    lengths = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    joined_to = list(range(len(rings)))

    def root(ring: int) -> int:
        while joined_to[ring] != ring:
            joined_to[ring] = joined_to[joined_to[ring]]
            ring = joined_to[ring]
        return ring

    for a, b in edges[np.argsort(lengths, kind="stable")].tolist():
        one, other = root(int(owner[a])), root(int(owner[b]))
        if one != other:
            joined_to[one] = other
            yield (int(owner[a]), int(place[a])), (int(owner[b]), int(place[b]))


def shared_out(mask: BoolArray, members: Sequence[BoolArray]) -> list[BoolArray]:
    """The parts of a mask, each given to that of several masks which it meets most, or else lies nearest to.

    Args:
        mask: H x W bool.
        members: at least one H x W bool, such as the shapes that an object was made of.

    Returns:
        One H x W bool a member; together they are the mask.
    """
    if len(members) == 1:
        return [mask]
    shares = [np.zeros_like(mask) for _ in members]
    distances = [cv2.distanceTransform((~member).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5) for member in members]
    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    for label in range(1, count):
        part = labels == label
        met = [(int((part & m).sum()), -float(d[part].min())) for m, d in zip(members, distances, strict=True)]
        shares[max(range(len(met)), key=lambda k: met[k])] |= part
    return shares


def _straightened(contour: npt.NDArray[np.float64], tolerance: float) -> npt.NDArray[np.float64]:
    for limit in (tolerance, STRAIGHT):
        simple: npt.NDArray[np.float64] = cv2.approxPolyDP(contour.astype(np.float32)[:, None], limit, True)[:, 0]
        if len(simple) >= 3:
            return simple
    return contour
