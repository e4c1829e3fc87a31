"""The table of models: what is published of each, beside what was measured of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from samref.backbones.weights.hub_models import HUB_MODELS
from samref.backbones.weights.registry import CHECKPOINTS

# Written by `python -m benchmarks.models`.
MEASURED = Path(__file__).with_name("measured.json")
HEADINGS = {
    "backbone": "`backbone=`",
    "architecture": "architecture",
    "parameters": "parameters, M",
    "megabytes": "download, MB",
    "license": "license",
    "image_ms": "CPU: ms an image",
    "mask_ms": "ms a mask",
    "gpu_image_ms": "GPU: ms an image",
    "gpu_mask_ms": "ms a mask",
    "quality": "IoU / boundary IoU",
}


class Model(NamedTuple):
    """A row of the table; what is unmeasured is empty.

    Attributes:
        backbone: option name.
        architecture: in words.
        parameters: in millions.
        megabytes: of the download.
        license: of the weights.
        image_ms: processor milliseconds of one core for an image.
        mask_ms: likewise for a mask of it.
        gpu_image_ms: milliseconds of a GPU for an image.
        gpu_mask_ms: likewise for a mask of it.
        quality: IoU and boundary IoU, percent.
    """

    backbone: str
    architecture: str
    parameters: str
    megabytes: str
    license: str
    image_ms: str
    mask_ms: str
    gpu_image_ms: str
    gpu_mask_ms: str
    quality: str


def names() -> list[str]:
    """Backbones with published weights, those of SAM's own packages first."""
    return [*CHECKPOINTS, *HUB_MODELS]


def read_measured() -> dict[str, Any]:
    """What was measured: `cpu` and `gpu` say on what, `models` holds numbers by backbone."""
    content: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return content


def model(name: str, measured: Mapping[str, Any]) -> Model:
    """The row of a backbone.

    Args:
        name: of `names`.
        measured: of `read_measured`.
    """
    entry: Any = CHECKPOINTS.get(name) or HUB_MODELS[name]
    found = measured["models"].get(name, {})
    parameters = found.get("parameters")
    quality = f"{found['iou']:.1f} / {found['boundary_iou']:.1f}" if "iou" in found else ""
    return Model(
        name,
        entry.architecture,
        "" if parameters is None else _shown(parameters / 1e6),
        f"{entry.megabytes:,}",
        entry.license,
        _shown(found.get("image_ms")),
        _shown(found.get("mask_ms")),
        _shown(found.get("gpu_image_ms")),
        _shown(found.get("gpu_mask_ms")),
        quality,
    )


def markdown(measured: Mapping[str, Any], shown: Sequence[str] | None = None) -> str:
    """The table for a text, and below it on what it was measured.

    Args:
        measured: of `read_measured`.
        shown: names of the rows; None for all.
    """
    rows = [model(name, measured) for name in shown or names()]
    lines = [" | ".join(HEADINGS.values()), "|".join(["---"] * len(HEADINGS)), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines) + f"\n\n{conditions(measured)}\n"


def conditions(measured: Mapping[str, Any]) -> str:
    """On what the numbers of the table were measured, in sentences."""
    cpu, gpu = measured.get("cpu", {}), measured.get("gpu", {})
    sentences = [
        "Times are of random weights, an image of 480 x 854 and masks with a point, a box and a mask prompt, in single "
        "precision on the processor."
    ]
    if cpu:
        sentences.append(
            f"CPU: processor time of one core, {cpu['device']}; other programs ran beside it (load up to "
            f"{cpu['highest load']:.0f}), which lengthens it somewhat."
        )
    if gpu:
        sentences.append(f"GPU: the best of the settings measured on one {gpu['device']}.")
    sentences.append("IoU: 146 masks of DAVIS with simulated defects, coarse 81.7 / 70.7, the paper's recipe.")
    sentences.append("What is empty was not measured.")
    return " ".join(sentences)


def _shown(value: float | None) -> str:
    """Two digits that count at least."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
