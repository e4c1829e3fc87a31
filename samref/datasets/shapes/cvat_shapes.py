"""The shapes of one image in CVAT's xml."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samref.datasets.shapes.cvat_xml import XmlImage
from samref.datasets.shapes.shapes import NewShape
from samref.errors import InputError
from samref.geometry.masks import tight_box
from samref.geometry.polygons import Ring
from samref.io.coco_ids import whole_number
from samref.io.coco_masks import decode, run_lengths
from samref.structures import BoolArray

DECIMALS = 2


@dataclass(frozen=True)
class CvatPage:
    """An image of the file.

    Attributes:
        image: as it came.
    """

    image: XmlImage

    @property
    def size(self) -> tuple[int, int] | None:
        """See `Page`."""
        height, width = (whole_number(self.image.attributes.get(key)) for key in ("height", "width"))
        return (height, width) if height and width else None

    @property
    def objects(self) -> Mapping[str | int, Sequence[int]]:
        """See `Page`: shapes of one label and group are one object."""
        groups: dict[Any, list[int]] = defaultdict(list)
        for place, shape in enumerate(self.image.shapes):
            group = whole_number(shape.attributes.get("group_id"))
            groups[(shape.attributes.get("label"), group) if group else place].append(place)
        return {places[0] + 1: tuple(places) for places in groups.values()}

    def decode(self, place: int, size: tuple[int, int]) -> BoolArray:
        """See `Page`."""
        shape = self.image.shapes[place]
        if shape.tag == "mask":
            return _decoded(shape.attributes, size)
        try:
            points = [[float(value) for value in point.split(",")] for point in shape.attributes["points"].split(";")]
        except (KeyError, ValueError):
            raise InputError(f"its points are {str(shape.attributes.get('points'))[:40]!r}; expected x,y;x,y") from None
        return decode([[value for point in points for value in point]], size)

    def outlined(self, place: int) -> bool:
        """See `Page`."""
        return self.image.shapes[place].tag != "mask"

    def rounded(self, ring: Ring, size: tuple[int, int]) -> Ring:
        """See `Page`."""
        return np.asarray(np.round(ring, DECIMALS))

    def changes(self, shapes: Mapping[int, NewShape]) -> list[Any]:
        """What changes of the image, as JSON values.

        Args:
            shapes: polygons and masks by place; None takes a shape away.

        Returns:
            For each shape its place and the attributes that change, or None.
        """
        return [[place, None if shape is None else _attributes(shape)] for place, shape in shapes.items()]


def _attributes(shape: Ring | BoolArray) -> dict[str, str]:
    if shape.dtype != np.bool_:
        return {"points": ";".join(f"{x:.{DECIMALS}f},{y:.{DECIMALS}f}" for x, y in shape.tolist())}
    box = tight_box(shape.astype(bool))
    assert box is not None
    x0, y0, x1, y1 = box
    # CVAT counts row by row, COCO column by column.
    counts = run_lengths(shape[y0 : y1 + 1, x0 : x1 + 1].astype(bool).T)
    return {
        "rle": ", ".join(map(str, counts)),
        "left": str(x0),
        "top": str(y0),
        "width": str(x1 - x0 + 1),
        "height": str(y1 - y0 + 1),
    }


def _decoded(attributes: Mapping[str, str], size: tuple[int, int]) -> BoolArray:
    try:
        counts = [int(word) for word in attributes["rle"].split(",")]
        left, top, width, height = (int(attributes[key]) for key in ("left", "top", "width", "height"))
    except (KeyError, ValueError) as error:
        raise InputError(f"its run lengths or their box are missing or no numbers ({error})") from None
    if min(left, top) < 0 or min(width, height) < 1 or left + width > size[1] or top + height > size[0]:
        raise InputError(f"its box {left, top, width, height} does not fit the image of {size} (H, W)")
    if min(counts) < 0 or sum(counts) != width * height:
        raise InputError(f"its run lengths add up to {sum(counts)}; expected {width} x {height} pixels")
    values = np.zeros(len(counts), bool)
    values[1::2] = True
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = np.repeat(values, counts).reshape(height, width)
    return mask
