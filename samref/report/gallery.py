"""A gallery of single masks as one HTML file that needs nothing but a browser: no server, no network, no other file."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from jinja2 import Environment, StrictUndefined, Template
from pycocotools import mask as run_lengths
from skimage.measure import find_contours

from samref.io.atomic import write_text

BoolArray = npt.NDArray[np.bool_]
Runs = dict[str, Any]

TEMPLATE = Path(__file__).with_name("gallery.html")
LAYERS = ("coarse", "refined", "truth", "rejected")
# Later ones lie over earlier ones.
DRAWN = ("truth", "rejected", "coarse", "refined")
# Where a group comes from, in the reader's words; the order is that of the page.
GROUPS = {
    "worst": "lost most IoU",
    "best": "won most IoU",
    "doubtful": "lowest score: look at these first",
    "kept": "coarse mask kept against the highest scored refinement",
    "changed": "most unlike its coarse mask",
    "unsure": "lowest predicted IoU",
    "random": "drawn at random",
}
MAX_PATH_BYTES = 24_000
TOLERANCES = (0.25, 0.5, 1.0, 2.0, 4.0)
SORTS = {
    "refined_iou": "IoU refined",
    "gain": "IoU won",
    "coarse_iou": "IoU coarse",
    "predicted_iou": "predicted IoU",
    "agreement": "agreement with coarse",
    "score": "score",
}


@dataclass(frozen=True)
class GalleryItem:
    """One mask of a gallery: a small picture of its surroundings and what is known of it.

    Attributes:
        image_id: of its image.
        object_id: of the mask in that image.
        flag: `refined`, `fallback`, `kept`, ...
        numbers: what was measured, by name; missing where it was not measured.
        picture: JPEG, the part of the image around the mask.
        size: (h, w) of the picture, picture px.
        window: (x0, y0, x1, y1) of the picture in image px, x1 and y1 exclusive.
        masks: run lengths (pycocotools) of `coarse`, `refined` and, where known, `truth` and `rejected` (the refinement
            that was decided against), in picture px.
        points: (x, y, label) with label 1 (foreground) or 0 (background), picture px.
        box: (x0, y0, x1, y1), picture px, the right and lower edges of the last pixels; None without a box prompt.
        heat: PNG with transparency, the positive part of the mask prompt; None without one.
        candidates: (predicted IoU, IoU with the truth or None) of each candidate.
        chosen: index of the candidate that was taken, -1 for none.
        reason: why the mask came out as it did; empty where nothing decided.
        groups: names among `GROUPS`.
    """

    image_id: str
    object_id: str
    flag: str
    numbers: Mapping[str, float]
    picture: bytes
    size: tuple[int, int]
    window: tuple[int, int, int, int]
    masks: Mapping[str, Runs]
    points: tuple[tuple[float, float, int], ...] = ()
    box: tuple[float, float, float, float] | None = None
    heat: bytes | None = None
    candidates: tuple[tuple[float, float | None], ...] = ()
    chosen: int = -1
    reason: str = ""
    groups: tuple[str, ...] = ()

    def mask(self, layer: str) -> BoolArray | None:
        """The h x w bool mask of a layer, picture px; None where there is none."""
        runs = self.masks.get(layer)
        return None if runs is None else np.asarray(run_lengths.decode(runs), dtype=bool)


@dataclass(frozen=True)
class Heading:
    """What stands above a gallery.

    Attributes:
        title: of the run.
        facts: short words beneath it (data set, prompts, backbone).
        command: that makes the run again; may be empty.
        seen: masks that the samples were chosen from.
        scores: `{"coarse": {...}, "refined": {...}}`, fractions; empty without ground truth.
    """

    title: str
    facts: Sequence[str] = ()
    command: str = ""
    seen: int = 0
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def write_gallery(path: Path, items: Sequence[GalleryItem], heading: Heading) -> None:
    """Writes the page atomically."""
    write_text(path, render(items, heading))


def render(items: Sequence[GalleryItem], heading: Heading) -> str:
    """The page as text.

    Args:
        items: in the order in which they are to stand.
        heading: above them.
    """
    cards = [_card(item) for item in items]
    present = [name for name in GROUPS if any(name in item.groups for item in items)]
    measured = {name for item in items for name in item.numbers}
    return _template().render(
        heading=heading,
        metrics=_metrics(heading.scores),
        cards=cards,
        groups={name: GROUPS[name] for name in present},
        flags=sorted({item.flag for item in items}),
        layers=[name for name in LAYERS if any(name in item.masks for item in items)],
        prompted=any(item.points or item.box or item.heat for item in items),
        sorts={name: label for name, label in SORTS.items() if name in measured},
    )


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
    for tolerance in TOLERANCES if len(fitting) == len(rings) else TOLERANCES[-1:]:
        parts = [_ring(ring, tolerance) for ring in fitting]
        lengths = np.cumsum([len(part) for part in parts])
        if not parts or lengths[-1] <= limit:
            break
    return "".join(parts[: np.searchsorted(lengths, limit, side="right")])


def _ring(ring: npt.NDArray[np.float64], tolerance: float) -> str:
    corners = cv2.approxPolyDP(ring[:-1].astype(np.float32), tolerance, closed=True)[:, 0]
    if len(corners) < 3:
        corners = ring[:-1]
    # From padded pixel centers to picture px, where pixel 0 is centered at a half.
    return "M" + "L".join(f"{_short(x)} {_short(y)}" for y, x in corners - 0.5) + "Z"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percent"] = lambda value: f"{100 * value:.1f}"
    environment.filters["signed"] = lambda value: f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")
    environment.filters["fraction"] = lambda value: f"{value:.3f}"
    environment.filters["short"] = _short
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _card(item: GalleryItem) -> dict[str, Any]:
    paths = {layer: outline(mask) for layer in DRAWN if (mask := item.mask(layer)) is not None}
    numbers = {name: value for name, value in item.numbers.items() if math.isfinite(value)}
    return {
        "item": item,
        "numbers": numbers,
        "paths": paths,
        "picture": _data_uri("image/jpeg", item.picture),
        "heat": item.heat and _data_uri("image/png", item.heat),
        # Marks keep their size on screen by being sized in shares of the picture.
        "unit": max(item.size) / 100,
    }


def _metrics(scores: Mapping[str, Mapping[str, float]]) -> list[tuple[str, float | None, float]]:
    coarse = scores.get("coarse", {})
    return [(name, coarse.get(name), value) for name, value in scores.get("refined", {}).items()]


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
