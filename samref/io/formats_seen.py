"""What a file that is read as something else looks like, and the command that reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

YOLO, LABELME, CVAT, LABEL_STUDIO, COCO = (
    "YOLO-seg labels (samref refine --yolo IMAGES LABELS OUTPUT)",
    "LabelMe's json files (samref refine --labelme LABELS OUTPUT)",
    "CVAT's xml for images (samref refine --cvat ANNOTATIONS.xml --images IMAGES OUTPUT)",
    "Label Studio's tasks (samref refine --label-studio TASKS.json --images IMAGES OUTPUT)",
    "a COCO json (samref refine --coco PRED.json --images IMAGES OUTPUT)",
)
BOXES = "boxes, which hold no masks"
# Files looked at in a folder, and bytes of a text file.
_FILES, _HEAD = 50, 4096


def look_at(path: Path) -> str | None:
    """What a file looks like.

    Args:
        path: of any file.

    Returns:
        The format and the command that reads it; None for anything else.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".json":
            return _json(json.loads(path.read_bytes()))
        with path.open("rb") as file:
            head = file.read(_HEAD).decode("utf-8", "ignore")
    except (OSError, ValueError, RecursionError):
        return None
    if suffix == ".xml":
        return CVAT if "<annotations" in head else "PASCAL VOC's " + BOXES if "<annotation>" in head else None
    if suffix in (".yaml", ".yml"):
        return "YOLO's data.yaml (samref refine --yolo data.yaml OUTPUT)" if "names" in head else None
    if suffix == ".txt":
        return _rows(head.splitlines())
    if suffix in (".npy", ".npz"):
        return "NumPy arrays, which are read as class activation maps of VOC alone (samref run dataset=voc)"
    return None


def look_into(folder: Path) -> str | None:
    """What the files of a folder look like, or the folders of a data set in it; None where they look like nothing."""
    if (folder / "data.yaml").is_file():
        return look_at(folder / "data.yaml")
    for count, path in enumerate(sorted(folder.rglob("*"))):
        if count >= _FILES:
            break
        found = look_at(path) if path.is_file() else None
        if found is not None:
            return found
    return None


def _json(content: Any) -> str | None:
    if isinstance(content, dict):
        if isinstance(content.get("shapes"), list):
            return LABELME
        if isinstance(content.get("images"), list) and isinstance(content.get("annotations"), list):
            return COCO
        regions = any(isinstance(value, dict) and "regions" in value for value in content.values())
        if "_via_img_metadata" in content or regions:
            return "a project of VGG Image Annotator, which is not read; export it as COCO"
        return None
    first = content[0] if isinstance(content, list) and content else None
    if isinstance(first, dict):
        if "data" in first and ("annotations" in first or "predictions" in first):
            return LABEL_STUDIO
        if "image_id" in first and "segmentation" in first:
            return COCO
    return None


def _rows(lines: Iterable[str]) -> str | None:
    for line in lines:
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            return None
        if len(values) >= 7 and all(0 <= value <= 1 for value in values[1:]):
            return YOLO
        if len(values) in (5, 6) and all(0 <= value <= 1 for value in values[1:]):
            return "YOLO's " + BOXES
    return None
