"""What a run saw of one image: rows of the table of samples, flags, seconds, failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from samref.structures import Failure, Refinement, Sample

Row = dict[str, Any]


@dataclass
class RunStatistics:
    """Of one image; `samref.callbacks.run_totals` adds them up."""

    rows: list[Row] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    images: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, sample: Sample | Failure, refinement: Refinement | None, columns: Mapping[str, Any]) -> RunStatistics:
        """The statistics of one image.

        Args:
            sample: the image, or why it could not be read.
            refinement: of its masks; None for a failure.
            columns: scores, each with one entry a mask.
        """
        if isinstance(sample, Failure) or refinement is None:
            return cls(failures=[sample] if isinstance(sample, Failure) else [])
        problems = list(sample.meta.get("problems", ()))
        warnings = [(str(sample.image_id), sentence) for sentence in sample.meta.get("warnings", ())]
        rows = sample_rows(sample, refinement, columns)
        return cls(rows, problems, warnings, 1, Counter(refinement.flags), Counter(refinement.timing))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        failures = [[failure.image_id, failure.reason] for failure in self.failures]
        counters = {"flags": dict(self.flags), "seconds": dict(self.seconds)}
        seen = {"rows": self.rows, "failures": failures, "warnings": self.warnings, "images": self.images}
        return {**seen, **counters}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RunStatistics:
        """The statistics that `to_json` made plain."""
        failures = [Failure(image_id, reason) for image_id, reason in values["failures"]]
        flags, seconds = Counter(values["flags"]), Counter(values["seconds"])
        warnings = [(str(image), str(sentence)) for image, sentence in values["warnings"]]
        return cls(values["rows"], failures, warnings, values["images"], flags, seconds)


def sample_rows(sample: Sample, refinement: Refinement, columns: Mapping[str, Any]) -> list[Row]:
    """One row a mask: ids, scores, choice, predicted IoUs, prompts (image px)."""
    rows = []
    for k, name in enumerate(sample.object_ids):
        row: Row = {"image": sample.image_id, "object": name if isinstance(name, (int, str)) else str(name)}
        row |= {"flag": refinement.flags[k]}
        row |= {key: _number(values[k]) for key, values in columns.items()}
        row |= {"chosen": int(refinement.chosen[k]), "predicted_iou": _number(refinement.predicted_iou[k])}
        row |= {f"predicted_iou_{c}": _number(refinement.iou_predictions[k, c]) for c in range(3)}
        if refinement.scores is not None:
            row["score"] = _number(refinement.scores[k])
        if refinement.reasons is not None:
            row["reason"] = refinement.reasons[k]
        if refinement.overlap is not None:
            row["overlap"] = int(refinement.overlap[k])
        if refinement.origins is not None:
            row["origin"] = refinement.origins[k]
        rows.append(row | _prompt_columns(refinement, k))
    return rows


def _prompt_columns(refinement: Refinement, k: int) -> Row:
    prompts, columns = refinement.prompts, Row()
    if prompts.point_coords is not None and prompts.point_labels is not None:
        for label, name in ((1, "positive"), (0, "negative")):
            found = np.flatnonzero(prompts.point_labels[k] == label)
            xy = prompts.point_coords[k, found[0]] if len(found) else (None, None)
            columns |= {f"{name}_x": _number(xy[0]), f"{name}_y": _number(xy[1])}
    if prompts.boxes is not None:
        columns |= {name: _number(v) for name, v in zip(("x0", "y0", "x1", "y1"), prompts.boxes[k], strict=True)}
    return columns


def _number(value: Any) -> float | int | str | None:
    if value is None:
        return None
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and np.isnan(value) else value
