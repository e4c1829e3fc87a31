"""The shapes of one LabelMe file."""

from __future__ import annotations

import base64
import binascii
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from samref.datasets.shapes.shapes import NewShape, points_of
from samref.errors import InputError
from samref.geometry.masks import tight_box
from samref.geometry.polygons import Ring
from samref.io.coco_ids import whole_number
from samref.io.coco_masks import decode
from samref.io.images import printable
from samref.io.json_text import dumps_like
from samref.structures import BoolArray

POLYGON, RECTANGLE, CIRCLE, MASK = "polygon", "rectangle", "circle", "mask"
KINDS = (POLYGON, RECTANGLE, CIRCLE, MASK, "oriented_rectangle", "rotation")


@dataclass(frozen=True)
class LabelmePage:
    """A label file.

    Attributes:
        raw: its bytes.
        content: what they hold.
    """

    raw: bytes
    content: dict[str, Any]

    @property
    def shapes(self) -> list[Any]:
        """All shapes, in the file's order."""
        found: list[Any] = self.content["shapes"]
        return found

    @property
    def size(self) -> tuple[int, int] | None:
        """See `Page`."""
        height, width = (whole_number(self.content.get(key)) for key in ("imageHeight", "imageWidth"))
        return None if not height or not width else (height, width)

    @property
    def image_name(self) -> str:
        """Path of the image as seen from the file."""
        return str(self.content.get("imagePath") or "")

    @property
    def embedded(self) -> bytes | None:
        """The image file that the label file holds, or None."""
        data = self.content.get("imageData")
        return _decoded(data, "imageData") if data else None

    @property
    def objects(self) -> Mapping[str | int, Sequence[int]]:
        """See `Page`: shapes of one label and group are one object."""
        groups: dict[Any, list[int]] = defaultdict(list)
        for place, shape in enumerate(self.shapes):
            if isinstance(shape, dict) and _kind(shape) in KINDS:
                group = shape.get("group_id")
                groups[place if group is None else (str(shape.get("label")), str(group))].append(place)
        return {places[0] + 1: tuple(places) for places in groups.values()}

    def decode(self, place: int, size: tuple[int, int]) -> BoolArray:
        """See `Page`."""
        shape = self.shapes[place]
        points, kind = _points(shape), _kind(shape)
        if kind == MASK:
            return _placed(_decoded_mask(shape), points, size)
        if kind == CIRCLE:
            return _disk(points, size)
        if kind == RECTANGLE and len(points) == 2:
            (x0, y0), (x1, y1) = points.tolist()
            points = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        return decode([points.reshape(-1).tolist()], size)

    def outlined(self, place: int) -> bool:
        """See `Page`."""
        return _kind(self.shapes[place]) != MASK

    def rounded(self, ring: Ring, size: tuple[int, int]) -> Ring:
        """See `Page`: json holds all digits."""
        return ring

    def text(self, shapes: Mapping[int, NewShape], size: tuple[int, int]) -> bytes:
        """The file's content with other shapes.

        Args:
            shapes: polygons and masks by place; None takes a shape away.
            size: (H, W) of the image.
        """
        kept = [
            shape if place not in shapes else _changed(shape, new)
            for place, shape in enumerate(self.shapes)
            if (new := shapes.get(place)) is not None or place not in shapes
        ]
        return dumps_like(self.raw, self.content, {**self.content, "shapes": kept})


def looks_like_labelme(path: Path) -> bool:
    """Whether a json file has the keys of LabelMe, at a glance."""
    try:
        raw = path.read_bytes()
    except OSError:
        return False
    return b'"shapes"' in raw and b'"imagePath"' in raw


def read_page(path: Path) -> LabelmePage:
    """Reads a label file.

    Raises:
        InputError: if it is no LabelMe file.
    """
    try:
        raw = path.read_bytes()
        content = json.loads(raw)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{printable(path)} cannot be read ({error}); expected a json file of LabelMe") from None
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise InputError(f"{printable(path)} has no list of shapes; expected a json file of LabelMe")
    return LabelmePage(raw, content)


def _kind(shape: Mapping[str, Any]) -> str:
    # Files of before 2018 have polygons alone, and do not say so.
    return str(shape.get("shape_type") or POLYGON)


def _points(shape: Mapping[str, Any]) -> Ring:
    points = points_of(shape.get("points"))
    if _kind(shape) in (CIRCLE, MASK) and len(points) != 2:
        raise InputError(f"a {_kind(shape)} has {len(points)} points; expected two")
    return points


def _disk(points: Ring, size: tuple[int, int]) -> BoolArray:
    (cx, cy), (px, py) = points
    y, x = np.ogrid[: size[0], : size[1]]
    inside = (x + 0.5 - cx) ** 2 + (y + 0.5 - cy) ** 2 <= (px - cx) ** 2 + (py - cy) ** 2
    if not inside.any():
        raise InputError(f"a circle around {cx:g}, {cy:g} covers no pixel of the image of {size} (H, W)")
    return np.asarray(inside)


def _decoded(data: Any, what: str) -> bytes:
    try:
        return base64.b64decode(data, validate=False)
    except (TypeError, ValueError, binascii.Error) as error:
        raise InputError(f"{what} is no base64 ({error})") from None


def _decoded_mask(shape: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(_decoded(shape.get("mask"), "its mask"))) as image:
            return np.asarray(image).astype(np.uint8)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"its mask cannot be read ({' '.join(str(error).split())[:80]})") from None


def _placed(values: npt.NDArray[np.uint8], points: Ring, size: tuple[int, int]) -> BoolArray:
    x0, y0 = points[0].astype(int)
    height, width = values.shape[:2]
    if values.ndim != 2 or x0 < 0 or y0 < 0 or x0 + width > size[1] or y0 + height > size[0]:
        raise InputError(f"its mask of shape {values.shape} at {x0}, {y0} does not fit the image of {size} (H, W)")
    mask = np.zeros(size, bool)
    mask[y0 : y0 + height, x0 : x0 + width] = values > 0
    return mask


def _changed(shape: Mapping[str, Any], new: NewShape) -> dict[str, Any]:
    assert new is not None
    if new.dtype != np.bool_:
        kind = {} if _kind(shape) == POLYGON else {"shape_type": POLYGON}
        return {**shape, "points": new.tolist(), **kind}
    box = tight_box(new.astype(bool))
    assert box is not None
    x0, y0, x1, y1 = box
    on = max(1, int(_decoded_mask(shape).max(initial=0)))
    with io.BytesIO() as file:
        Image.fromarray(new[y0 : y1 + 1, x0 : x1 + 1].astype(np.uint8) * np.uint8(on)).save(file, format="PNG")
        encoded = base64.b64encode(file.getvalue()).decode("ascii")
    return {**shape, "points": [[float(x0), float(y0)], [float(x1), float(y1)]], "mask": encoded}
