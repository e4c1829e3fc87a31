"""A gallery of single masks as one HTML file that needs nothing but a browser: no server, no network, no other file.

The page holds its cards as data and builds those in view, so that it scrolls alike with twenty masks and with twenty
thousand.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Template
from pycocotools import mask as run_lengths

from samref.io.atomic import write_text
from samref.report.html import data_url, template_environment
from samref.report.outlines import BoolArray, outline

Runs = dict[str, Any]

# gallery.html includes gallery.css and gallery.js.
TEMPLATE = Path(__file__).with_name("gallery.html")
LAYERS = ("coarse", "refined", "truth", "rejected")
# Where a group comes from, in the reader's words; the order is that of the page.
GROUPS = {
    "worst": "lost most IoU",
    "best": "won most IoU",
    "doubtful": "lowest score: look at these first",
    "kept": "the coarse mask was kept",
    "fallback": "the refinement came out empty, the coarse mask was kept",
    "empty": "the coarse mask is empty",
    "failed": "the image or its masks could not be read",
    "changed": "most unlike its coarse mask",
    "unsure": "lowest predicted IoU",
    "random": "drawn at random",
}
# What became of a mask is a group of its own, whatever it was chosen for.
OUTCOMES = ("kept", "fallback", "empty", "failed")
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
        flag: `refined`, `fallback`, `kept`, `empty`, or `failed` for an image that could not be read.
        numbers: what was measured, by name; missing where it was not measured.
        picture: JPEG, the part of the image around the mask; empty where there is no image.
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
        title: names the data.
        facts: short words beneath it (data set, prompts, backbone).
        command: that makes the run again; may be empty.
        seen: masks that the samples were chosen from, without those that are empty.
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
    counts = {name: sum(name in groups_of(item) for item in items) for name in GROUPS}
    measured = {name for item in items for name in item.numbers}
    layers = [name for name in LAYERS if any(name in item.masks for item in items)]
    prompted = any(item.points or item.box or item.heat for item in items)
    return _template().render(
        heading=heading,
        metrics=_metrics(heading.scores),
        index=_embedded([_listed(item) for item in items]),
        items=(_embedded(_drawn(item)) for item in items),
        shown=len(items),
        refined=len(items) - counts["empty"] - counts["failed"],
        groups={name: (count, GROUPS[name]) for name, count in counts.items() if count},
        layers=[*layers, *(["prompts"] if prompted else [])],
        sorts={name: label for name, label in SORTS.items() if name in measured},
    )


def groups_of(item: GalleryItem) -> tuple[str, ...]:
    """The groups of an item, with what became of its mask.

    >>> item = GalleryItem("a", "b", "kept", {}, b"", (1, 1), (0, 0, 1, 1), {}, groups=("random",))
    >>> groups_of(item)
    ('random', 'kept')
    """
    became = item.flag in OUTCOMES and item.flag not in item.groups
    return (*item.groups, item.flag) if became else item.groups


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = template_environment(TEMPLATE.parent)
    environment.filters["percent"] = lambda value: f"{100 * value:.1f}"
    environment.filters["signed"] = lambda value: f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")
    return environment.get_template(TEMPLATE.name)


def _listed(item: GalleryItem) -> dict[str, Any]:
    """What all cards are sorted, filtered and found by."""
    return {
        "image": item.image_id,
        "object": item.object_id,
        "groups": groups_of(item),
        "numbers": {name: round(value, 5) for name, value in item.numbers.items() if math.isfinite(value)},
    }


def _drawn(item: GalleryItem) -> dict[str, Any]:
    """What one card is drawn from."""
    return {
        "flag": item.flag,
        "reason": item.reason,
        "size": item.size,
        "window": item.window,
        "picture": data_url("image/jpeg", item.picture) if item.picture else None,
        "paths": {
            layer: _path(*item.masks[layer]["size"], item.masks[layer]["counts"])
            for layer in LAYERS
            if layer in item.masks
        },
        "points": [(round(x, 1), round(y, 1), label) for x, y, label in item.points],
        "box": item.box and [round(value, 1) for value in item.box],
        "heat": item.heat and data_url("image/png", item.heat),
        "candidates": [[_finite(value) for value in values] for values in item.candidates],
        "chosen": item.chosen,
    }


@lru_cache(maxsize=256)
def _path(height: int, width: int, counts: bytes) -> str:
    # Kept masks are their coarse ones: the same outline is looked for twice.
    return outline(np.asarray(run_lengths.decode({"size": [height, width], "counts": counts}), dtype=bool))


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 5)


def _embedded(value: Any) -> str:
    """JSON that no name can end the element of."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # Half of a surrogate pair, as a broken file name holds it, cannot be written.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _metrics(scores: Mapping[str, Mapping[str, float]]) -> list[tuple[str, float | None, float]]:
    coarse = scores.get("coarse", {})
    return [(name, coarse.get(name), value) for name, value in scores.get("refined", {}).items()]
