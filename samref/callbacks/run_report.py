"""Counts, timings, failures and the table of samples of a run."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from lightning import Callback, LightningModule, Trainer

from samref.files import write_text
from samref.stopwatch import STAGES
from samref.structures import EMPTY, FALLBACK, Failure, Refinement, Sample

Row = dict[str, Any]


@dataclass
class Tally:
    """What one process saw; tallies of several processes add up."""

    rows: list[Row] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    images: int = 0
    flags: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.rows + other.rows,
            self.failures + other.failures,
            self.images + other.images,
            self.flags + other.flags,
            self.seconds + other.seconds,
        )


class RunReport(Callback):
    """Collects what `report.json` says beside the metrics, and writes `samples.csv`."""

    def __init__(self, samples: Path, problems: Sequence[Failure] = ()) -> None:
        """Starts with nothing seen.

        Args:
            samples: path of the table of samples.
            problems: what the data set found wrong before it was run; reported as failures.
        """
        self.samples, self.problems = samples, list(problems)
        self.tally = Tally()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Records one image."""
        if isinstance(batch, Failure):
            self.tally.failures.append(batch)
            return
        refinement: Refinement = outputs["refinement"]
        self.tally.failures.extend(batch.meta.get("problems", ()))
        self.tally.images += 1
        self.tally.flags.update(refinement.flags)
        self.tally.seconds.update(refinement.timing)
        self.tally.rows.extend(sample_rows(batch, refinement, outputs.get("columns", {})))

    on_predict_batch_end = on_test_batch_end

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gathers all processes and writes the table of samples."""
        if trainer.world_size > 1:
            tallies: list[Tally | None] = [None] * trainer.world_size
            dist.all_gather_object(tallies, self.tally)
            self.tally = sum((part for part in tallies if part is not None), Tally())
        self.tally.rows.sort(key=lambda row: (str(row["image"]), str(row["object"])))
        if trainer.is_global_zero:
            write_text(self.samples, rows_as_csv(self.tally.rows))

    on_predict_end = on_test_end

    def failures(self) -> list[Failure]:
        """Everything that could not be refined, with its reason."""
        return self.problems + self.tally.failures

    def counts(self) -> dict[str, int]:
        """`images, masks, empty, fallback, failed`, and any other flag that was raised."""
        flags = self.tally.flags
        known = {"images": self.tally.images, "masks": sum(flags.values()), "failed": len(self.failures())}
        return {**known, EMPTY: flags[EMPTY], FALLBACK: flags[FALLBACK], **dict(sorted(flags.items()))}

    def timing(self) -> dict[str, float]:
        """Seconds by stage, their total, and images and masks per second of it (no evaluation, no file access)."""
        seconds = {stage: self.tally.seconds[stage] for stage in STAGES}
        total = sum(seconds.values())
        masks = sum(self.tally.flags.values())
        rate = {"images_per_second": self.tally.images / total, "masks_per_second": masks / total} if total else {}
        return {**seconds, "total": total, **rate}


def sample_rows(sample: Sample, refinement: Refinement, columns: dict[str, Any]) -> list[Row]:
    """One row a mask: ids, scores, choice, predicted IoUs, prompts (image px)."""
    rows = []
    for k, name in enumerate(sample.object_ids):
        row: Row = {"image": sample.image_id, "object": name, "flag": refinement.flags[k]}
        row |= {key: _number(values[k]) for key, values in columns.items()}
        row |= {"chosen": int(refinement.chosen[k]), "predicted_iou": _number(refinement.predicted_iou[k])}
        row |= {f"predicted_iou_{c}": _number(refinement.iou_predictions[k, c]) for c in range(3)}
        rows.append(row | _prompt_columns(refinement, k))
    return rows


def rows_as_csv(rows: list[Row]) -> str:
    """The rows as CSV with a header; a column that a row lacks stays empty."""
    names = list(dict.fromkeys(key for row in rows for key in row)) or ["image", "object", "flag"]
    text = io.StringIO()
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


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
