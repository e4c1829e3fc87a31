"""How well a score predicts the quality of masks: mean IoU of the masks of each range of scores."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 10

Bin = dict[str, Any]


def calibration(scores: npt.ArrayLike, iou: npt.ArrayLike) -> list[Bin]:
    """Masks by their score, in ten ranges of equal width.

    Args:
        scores: N, in [0, 1].
        iou: N, of the same masks with their ground truth, in [0, 1]; NaN where it is not known, which is left out.

    Returns:
        For each range that holds masks `from` (its lower end), `masks` (how many), `score` and `iou` (their means).

    >>> calibration([0.91, 0.97, 0.2], [0.9, 1.0, 0.5])
    [{'from': 0.2, 'masks': 1, 'score': 0.2, 'iou': 0.5}, {'from': 0.9, 'masks': 2, 'score': 0.94, 'iou': 0.95}]
    """
    known, quality = np.asarray(scores, np.float64), np.asarray(iou, np.float64)
    known, quality = known[~np.isnan(quality)], quality[~np.isnan(quality)]
    place = np.minimum((known * BINS + 1e-9).astype(int), BINS - 1)
    return [
        {
            "from": round(k / BINS, 3),
            "masks": int(np.count_nonzero(place == k)),
            "score": round(float(known[place == k].mean()), 6),
            "iou": round(float(quality[place == k].mean()), 6),
        }
        for k in np.unique(place).tolist()
    ]


def calibration_of(rows: Iterable[Mapping[str, Any]]) -> list[Bin] | None:
    """The calibration of the rows of `samples.csv`; None where none has both a score and ground truth."""
    scores, iou = array("d"), array("d")
    for row in rows:
        if row.get("score") is not None and row.get("refined_iou") is not None:
            scores.append(row["score"])
            iou.append(row["refined_iou"])
    return calibration(scores, iou) if scores else None


def pool(parts: Sequence[Sequence[Bin]]) -> list[Bin]:
    """The calibration of several runs together, from theirs."""
    pooled = []
    for start in sorted({one["from"] for part in parts for one in part}):
        found = [one for part in parts for one in part if one["from"] == start]
        count = sum(one["masks"] for one in found)
        means = {key: sum(one["masks"] * one[key] for one in found) / count for key in ("score", "iou")}
        pooled.append({"from": start, "masks": count, **means})
    return pooled


def calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance of score and IoU over the ranges, each by its number of masks (expected calibration error)."""
    masks = sum(one["masks"] for one in bins)
    return sum(one["masks"] * abs(one["score"] - one["iou"]) for one in bins) / masks if masks else float("nan")
