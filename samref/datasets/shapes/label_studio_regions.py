"""The regions of one Label Studio task: polygons and brushes of all its annotations and predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from samref.datasets.shapes.shapes import NewShape, points_of
from samref.errors import InputError
from samref.geometry.polygons import Ring
from samref.io.brush_rle import decode_brush, encode_brush
from samref.io.coco_ids import whole_number
from samref.io.coco_masks import decode
from samref.structures import BoolArray

WORK = ("annotations", "predictions")
POINTS, RLE = "points", "rle"
# Percent of the sides.
FULL = 100.0

# Place of a region in its task: kind of work, number of the work, number of the result.
Place = tuple[str, int, int]


@dataclass(frozen=True)
class LabelStudioPage:
    """A task.

    Attributes:
        task: as it came.
    """

    task: dict[str, Any]

    @cached_property
    def places(self) -> list[Place]:
        """Of the results that hold a polygon or a brush, in the task's order."""
        return [place for place, region in _results(self.task) if _key(region) is not None]

    @property
    def size(self) -> tuple[int, int] | None:
        """See `Page`."""
        for place in self.places:
            size = _size(self._region(place))
            if size is not None:
                return size
        return None

    @property
    def objects(self) -> Mapping[str | int, Sequence[int]]:
        """See `Page`: by the region's id; where several works hold it, with the number of the work behind."""
        places = self.places
        first: dict[tuple[str, int, str], int] = {}
        for k, (kind, work, result) in enumerate(places):
            # Labels that are apart from their region repeat its outline under the same id.
            first.setdefault((kind, work, str(self._region((kind, work, result)).get("id", f"#{result}"))), k)
        counts = Counter(name for _, _, name in first)
        return {name if counts[name] == 1 else f"{name}:{kind}:{work}": (k,) for (kind, work, name), k in first.items()}

    def decode(self, place: int, size: tuple[int, int]) -> BoolArray:
        """See `Page`."""
        region = self._region(self.places[place])
        own = _size(region)
        if own is not None and own != size:
            raise InputError(f"it is drawn on an image of {own} (H, W), others of its task on one of {size}")
        if region.get("image_rotation"):
            raise InputError(
                f"it is drawn on the image turned by {region['image_rotation']} degrees, which is not read"
            )
        value = region["value"]
        if _key(region) == RLE:
            return decode_brush(value[RLE], size)
        return decode([_pixels(_percents(value[POINTS]), size).reshape(-1).tolist()], size)

    def outlined(self, place: int) -> bool:
        """See `Page`."""
        return _key(self._region(self.places[place])) == POINTS

    def rounded(self, ring: Ring, size: tuple[int, int]) -> Ring:
        """See `Page`."""
        return _pixels(_in_percent(ring, size), size)

    def changes(self, shapes: Mapping[int, NewShape], size: tuple[int, int]) -> list[Any]:
        """What changes of the task, as JSON values.

        Args:
            shapes: polygons and masks by place.
            size: (H, W) of the image.

        Returns:
            For each region its place in the task, the key of its value that changes, and what it holds then.
        """
        places, changes = self.places, []
        for k, shape in shapes.items():
            assert shape is not None
            region = self._region(places[k])
            mask = shape.dtype == np.bool_
            content = encode_brush(shape.astype(bool)) if mask else _in_percent(shape.astype(float), size).tolist()
            for place in places:
                if place[:2] == places[k][:2] and self._region(place).get("id") == region.get("id"):
                    changes.append([*place, RLE if mask else POINTS, content])
        return changes

    def _region(self, place: Place) -> dict[str, Any]:
        kind, work, result = place
        found: dict[str, Any] = self.task[kind][work]["result"][result]
        return found


def changed_task(task: dict[str, Any], changes: Sequence[Any]) -> dict[str, Any]:
    """A task with other regions.

    Args:
        task: as it came.
        changes: see `LabelStudioPage.changes`.

    Returns:
        A task; what did not change is shared with the one that came.
    """
    for kind, work, result, key, content in changes:
        works, results = list(task[kind]), list(task[kind][work]["result"])
        results[result] = {**results[result], "value": {**results[result]["value"], key: content}}
        works[work] = {**works[work], "result": results}
        task = {**task, kind: works}
    return task


def _results(task: Mapping[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    for kind in WORK:
        works = task.get(kind)
        for k, work in enumerate(works if isinstance(works, list) else ()):
            results = work.get("result") if isinstance(work, dict) else None
            for j, region in enumerate(results if isinstance(results, list) else ()):
                if isinstance(region, dict):
                    yield (kind, k, j), region


def _key(region: Mapping[str, Any]) -> str | None:
    """What holds the region's outline; None for one that is neither polygon nor brush."""
    value = region.get("value")
    if not isinstance(value, dict):
        return None
    if isinstance(value.get(RLE), list):
        return RLE
    # Lines have points, too.
    closed = value.get("closed", True) is not False and "vertices" not in value
    return POINTS if isinstance(value.get(POINTS), list) and closed else None


def _size(region: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = whole_number(region.get("original_height")), whole_number(region.get("original_width"))
    return (height, width) if height and width else None


def _percents(points: Any) -> Ring:
    found = points_of(points, " in percent")
    low, high = found.min(), found.max()
    if low < -1 or high > FULL + 1:
        raise InputError(f"its points reach from {low:g} to {high:g}; expected percent of width and height, 0 to 100")
    return np.clip(found, 0, FULL)


def _pixels(percents: Ring, size: tuple[int, int]) -> Ring:
    return np.asarray(percents * size[::-1] / FULL)


def _in_percent(ring: Ring, size: tuple[int, int]) -> Ring:
    return np.asarray(ring * FULL / size[::-1])
