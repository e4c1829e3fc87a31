"""Counts, timings, failures and the table of samples of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning import Callback, LightningModule, Trainer

from samref.callbacks.resume import Journal
from samref.callbacks.run_statistics import Tally, rows_as_csv
from samref.io.atomic import write_text
from samref.stopwatch import STAGES
from samref.structures import EMPTY, FALLBACK, Failure, Idle


class RunReport(Callback):
    """Collects what `report.json` says beside the metrics, and writes `samples.csv`."""

    def __init__(self, samples: Path, problems: Sequence[Failure] = (), journal: Journal | None = None) -> None:
        """Starts with what an interrupted run had seen, or with nothing.

        Args:
            samples: path of the table of samples.
            problems: what the data set found wrong before it was run; reported as failures.
            journal: of the run, for runs that can go on where they stopped.
        """
        self.samples, self.problems, self.journal = samples, list(problems), journal
        self.tally = Tally()

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, index: int, loader: int = 0
    ) -> None:
        """Records one image; the callbacks that write masks have run before."""
        if isinstance(batch, Idle):
            return
        tally = Tally.of(batch, outputs["refinement"], outputs.get("columns", {}), outputs.get("files"))
        self.tally.add(tally)
        if self.journal is not None:
            self.journal.append(trainer.global_rank, batch.image_id, tally)

    on_predict_batch_end = on_test_batch_end  # type: ignore[assignment]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gathers all processes and writes the table of samples."""
        if trainer.world_size > 1:
            tallies: list[Tally | None] = [None] * trainer.world_size
            dist.all_gather_object(tallies, self.tally)
            self.tally = Tally()
            for part in tallies:
                if part is not None:
                    self.tally.add(part)
        for earlier in self.journal.done.values() if self.journal is not None else ():
            self.tally.add(earlier)
        self.tally.rows.sort(key=lambda row: (str(row["image"]), str(row["object"])))
        if trainer.is_global_zero:
            write_text(self.samples, rows_as_csv(self.tally.rows))

    on_predict_end = on_test_end

    def failures(self) -> list[Failure]:
        """Everything that could not be refined, with its reason."""
        return self.problems + self.tally.failures

    def warnings(self) -> list[str]:
        """What had to be decided about images and a person should know of."""
        return sorted(self.tally.warnings)

    def counts(self) -> dict[str, int]:
        """`images, masks, empty, fallback, failed`, and any other flag that was raised."""
        flags = self.tally.flags
        known = {"images": self.tally.images, "masks": sum(flags.values()), "failed": len(self.failures())}
        return {**known, EMPTY: flags[EMPTY], FALLBACK: flags[FALLBACK], **dict(sorted(flags.items()))}

    def timing(self) -> dict[str, float | None]:
        """Seconds by stage, their total, and images and masks per second of it (no evaluation, no file access).

        None everywhere if nothing was timed, as for masks that another tool has written.
        """
        if not self.tally.seconds:
            return dict.fromkeys((*STAGES, "total"))
        seconds = {stage: self.tally.seconds[stage] for stage in STAGES}
        total = sum(seconds.values())
        masks = sum(self.tally.flags.values())
        rate = {"images_per_second": self.tally.images / total, "masks_per_second": masks / total} if total else {}
        return {**seconds, "total": total, **rate}
