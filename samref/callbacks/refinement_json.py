"""Refinements as JSON values: masks as run lengths, everything else as numbers and words."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from samref.io.coco_masks import decode, encode_rle
from samref.structures import Prompts, Refinement

# Larger than all the rest together; whoever needs one of these again has to refine the image again.
LEFT_OUT = ("candidates", "logits", "coarse_iou", "mask_input", "timing")


def to_json(refinement: Refinement) -> dict[str, Any]:
    """A refinement without its candidates, logits, mask prompts and timing, as JSON values."""
    return _plain(refinement)


def from_json(values: dict[str, Any]) -> Refinement:
    """The refinement that `to_json` made plain.

    Raises:
        KeyError, TypeError, ValueError: if the values are not of this kind.
    """
    content = {name: _restored(value) for name, value in values.items()}
    prompts = Prompts(**{name: _restored(value) for name, value in values["prompts"].items()})
    return Refinement(**{**content, "prompts": prompts})


def _plain(part: Refinement | Prompts) -> dict[str, Any]:
    values = {field.name: getattr(part, field.name) for field in fields(part) if field.name not in LEFT_OUT}
    return {name: _plain(value) if isinstance(value, Prompts) else _as_plain(value) for name, value in values.items()}


def _as_plain(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype == np.bool_:
        masks = value if value.ndim == 3 else value[None]
        runs = [encode_rle(mask)["counts"] for mask in masks]
        return {"runs": runs, "shape": list(value.shape)}
    if isinstance(value, np.ndarray):
        return {"values": value.reshape(-1).tolist(), "shape": list(value.shape), "dtype": str(value.dtype)}
    if isinstance(value, dict):
        return {"entries": [[key, _as_plain(entry)] for key, entry in value.items()]}
    return {"words": value}


def _restored(value: dict[str, Any]) -> Any:
    if "runs" in value:
        size = (value["shape"][-2], value["shape"][-1])
        masks = [decode({"size": size, "counts": counts}, size) for counts in value["runs"]]
        return np.array(masks, dtype=bool).reshape(value["shape"])
    if "values" in value:
        return np.array(value["values"], dtype=value["dtype"]).reshape(value["shape"])
    if "entries" in value:
        return {key: _restored(entry) for key, entry in value["entries"]}
    words = value.get("words")
    return tuple(words) if isinstance(words, list) else words
