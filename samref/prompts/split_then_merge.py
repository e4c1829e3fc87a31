"""Split-then-merge: a semantic mask becomes regions that SAM can be prompted with. All pure, all in image px."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from samref.errors import ConfigError
from samref.structures import BoolArray, IntArray

Labels = npt.NDArray[np.int32]

RULES = ("paper", "grown", "released")
RELEASED_MIN_AREA = 5
RELEASED_DENSITY = 0.5
RELEASED_SLACK = 0.1


@dataclass(frozen=True)
class SplitThenMerge:
    """Whether and how a category's mask is split into the regions that are refined one by one (Algorithm 1).

    Attributes:
        enabled: False leaves the category's mask as it is (Table 2c, first row).
        rule: `paper`, `grown` or `released`, see `split_then_merge`.
        mu: density from which two regions are one, 0 to 1.
    """

    enabled: bool
    rule: str
    mu: float

    def __post_init__(self) -> None:
        _check(self.rule, self.mu)

    def __call__(self, mask: BoolArray) -> BoolArray:
        """The R x H x W regions of an H x W mask, in row-major order of their first pixels; R is 0 if it is empty."""
        if not self.enabled:
            return mask[None] if mask.any() else np.zeros((0, *mask.shape), bool)
        return region_masks(split_then_merge(mask, self.mu, self.rule))


@dataclass(frozen=True)
class _Regions:
    """Tight boxes (both ends inclusive) and pixel counts of R regions: R int64 each."""

    x0: IntArray
    y0: IntArray
    x1: IntArray
    y1: IntArray
    mask_area: IntArray

    @property
    def box_area(self) -> IntArray:
        return (self.x1 - self.x0 + 1) * (self.y1 - self.y0 + 1)


def split(mask: BoolArray) -> Labels:
    """Numbers the 8-connected regions of a mask in row-major order of their first pixels.

    Args:
        mask: H x W bool, image px.

    Returns:
        H x W int32: 0 on the background, 1 to R on the regions.

    >>> split(np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0]], bool))
    array([[1, 0, 2],
           [0, 0, 2],
           [3, 0, 0]], dtype=int32)
    """
    return _split(mask)[0]


def split_then_merge(mask: BoolArray, mu: float, rule: str) -> Labels:
    """Splits a mask into 8-connected regions and joins those that lie close together (appendix A.2, Algorithm 1).

    For i < j, with box areas `a_box`, mask areas `a_mask` and `A` the area of the box around both, regions i and j
    become one when

    * `paper` and `grown`: `a_box_i + a_box_j > mu * A` and `a_mask_i + a_mask_j > mu * A`;
    * `released`: `a_box_i + a_box_j > mu * A` and `(a_mask_i + a_mask_j) / A > min(0.5, d - 0.1)`, `d` being the lower
      of `a_mask / a_box` of the two. Single boxes count both end pixels in their area, the box around both does not.
      Regions under 5 px are dropped first, unless there is only one region.

    `paper` is the algorithm as printed: boxes and areas are those of the regions as they were split, every pair is
    compared, and what joins one region joins all that it has joined. `grown` is section 3.2's "iteratively" taken at
    its word: region i's box and areas grow at once, later j see them, and a region that joined another is done with.
    The released code grows regions too, and goes on comparing one that has joined, under the name of the region that it
    joined, with those behind it; so a pair gets a second chance there.

    Args:
        mask: H x W bool.
        mu: density from which two regions are one, 0 to 1.
        rule: `paper`, `grown` or `released`.

    Returns:
        H x W int32: 0 on the background, 1 to R on the merged regions, in row-major order of their first pixels.

    Raises:
        ConfigError: for another rule or a `mu` outside 0 to 1.

    >>> split_then_merge(np.array([[1, 1, 0, 1, 0, 0, 0, 0, 1]], bool), mu=0.5, rule="paper")
    array([[1, 1, 0, 1, 0, 0, 0, 0, 2]], dtype=int32)
    """
    _check(rule, mu)
    labels, regions = _split(mask)
    count = len(regions.mask_area)
    kept = np.arange(count)
    if rule == "released" and count > 1:
        kept = np.flatnonzero(regions.mask_area >= RELEASED_MIN_AREA)
    rows = _rows(regions, kept)
    group = _join_pairs(rows, mu) if rule == "paper" else _grow(rows, mu, rule == "released")

    # Row-major order of first pixels survives: a group is numbered where its first region stands.
    _, first, numbers = np.unique(group, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(1, len(first) + 1)
    table = np.zeros(count + 1, np.int32)
    table[kept + 1] = rank[numbers.reshape(-1)]
    return table[labels]


def region_masks(labels: Labels) -> BoolArray:
    """Masks of numbered regions.

    Args:
        labels: H x W int32: 0 on the background, 1 to R on the regions.

    Returns:
        R x H x W bool.
    """
    masks = np.zeros((int(labels.max(initial=0)), *labels.shape), bool)
    y, x = np.nonzero(labels)
    masks[labels[y, x] - 1, y, x] = True
    return masks


def _check(rule: str, mu: float) -> None:
    if rule not in RULES:
        raise ConfigError(f"split-then-merge rule is '{rule}'; expected one of {', '.join(RULES)} (dataset.stm.rule)")
    if not 0 <= mu <= 1:
        raise ConfigError(f"mu is {mu}; expected a density between 0 and 1 (dataset.stm.mu)")


def _split(mask: BoolArray) -> tuple[Labels, _Regions]:
    image = np.ascontiguousarray(mask).view(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(image, connectivity=8, ltype=cv2.CV_32S)
    # OpenCV's own numbering follows its scan of 2 x 2 blocks and may change; merging depends on the order.
    flat = labels.reshape(-1)
    first = np.empty(count, np.int64)
    first[flat[::-1]] = np.arange(flat.size - 1, -1, -1)
    order = 1 + np.argsort(first[1:])
    table = np.zeros(count, np.int32)
    table[order] = np.arange(1, count)
    x0, y0, width, height, area = stats[order].astype(np.int64).T
    return table[labels], _Regions(x0, y0, x0 + width - 1, y0 + height - 1, area)


def _join_pairs(regions: _Regions, mu: float) -> IntArray:
    """The group of each region, every pair compared as split; a group is named by any number."""
    count = len(regions.mask_area)
    joined = [i + 1 + np.flatnonzero(_joins(regions, i, np.arange(i + 1, count), mu)) for i in range(count)]
    right = np.concatenate([np.zeros(0, np.int64), *joined])
    left = np.repeat(np.arange(count), [len(others) for others in joined])
    graph = coo_matrix((np.ones(len(left), dtype=bool), (left, right)), shape=(count, count))
    group: IntArray = connected_components(graph, directed=False)[1].astype(np.int64)
    return group


def _grow(regions: _Regions, mu: float, released: bool) -> IntArray:
    """The group of each region, as the index of the region that it joined; `regions` grow in place."""
    count = len(regions.mask_area)
    position = np.arange(count)
    group = position.copy()
    for i in range(count):
        if group[i] != i and not released:
            continue
        own, j = int(group[i]), i + 1
        while j < count:
            behind = group[j:]
            others = j + np.flatnonzero(behind != own if released else behind == position[j:])
            joining = others[_joins(regions, own, group[others], mu, released)]
            if not joining.size:
                break
            j = int(joining[0])
            _absorb(regions, own, int(group[j]))
            group[group == group[j]] = own
            j += 1
    return group


def _joins(regions: _Regions, i: int, j: IntArray, mu: float, released: bool = False) -> BoolArray:
    """Which of the regions `j` join region `i`."""
    width = np.maximum(regions.x1[i], regions.x1[j]) - np.minimum(regions.x0[i], regions.x0[j])
    height = np.maximum(regions.y1[i], regions.y1[j]) - np.minimum(regions.y0[i], regions.y0[j])
    box, mask = regions.box_area, regions.mask_area
    area_box, area_mask = box[i] + box[j], mask[i] + mask[j]
    joins: BoolArray
    if not released:
        around = (width + 1) * (height + 1)
        joins = (area_box > mu * around) & (area_mask > mu * around)
        return joins
    around = width * height
    density = np.minimum(mask[i] / box[i], mask[j] / box[j])
    # Two regions in one row or column have a box of no area around them; infinitely dense, they join.
    with np.errstate(divide="ignore"):
        joins = (area_box > mu * around) & (area_mask / around > np.minimum(RELEASED_DENSITY, density - RELEASED_SLACK))
    return joins


def _absorb(regions: _Regions, i: int, j: int) -> None:
    """Region `i` grows by region `j`, in place."""
    regions.x0[i] = min(regions.x0[i], regions.x0[j])
    regions.y0[i] = min(regions.y0[i], regions.y0[j])
    regions.x1[i] = max(regions.x1[i], regions.x1[j])
    regions.y1[i] = max(regions.y1[i], regions.y1[j])
    regions.mask_area[i] += regions.mask_area[j]


def _rows(regions: _Regions, rows: IntArray) -> _Regions:
    """A copy of some of the regions."""
    return replace(regions, **{name: values[rows] for name, values in vars(regions).items()})
