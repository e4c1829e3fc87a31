"""Counts, timings, failures and the table of samples of a run; records each image in the resume log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning import Callback, LightningModule, Trainer

from samref.callbacks.outcome import Outcome
from samref.callbacks.resume import ResumeLog, Wanted
from samref.callbacks.run_totals import RunTotals
from samref.callbacks.steps import Record
from samref.callbacks.taken_up import TakenUp
from samref.stopwatch import STAGES
from samref.structures import EMPTY, FALLBACK, Failure


class RunReport(Callback):
    """Collects what `report.json` says beside the metrics, and writes `samples.csv`; the last of a run's callbacks."""

    def __init__(
        self,
        samples: Path,
        problems: Sequence[Failure] = (),
        log: ResumeLog | None = None,
        wanted: Callable[[Hashable], Wanted] | None = None,
        taken_up: TakenUp | None = None,
    ) -> None:
        """Starts with what earlier runs have finished, or with nothing.

        Args:
            samples: path of the table of samples.
            problems: what the data set found wrong before it was run; reported as failures.
            log: resume log of this process, or None.
            wanted: key and names, under which the result of an image is recorded.
            taken_up: images that are not refined again.
        """
        self.samples, self.problems, self.resume_log, self.wanted = samples, list(problems), log, wanted
        self.taken_up = taken_up or TakenUp()
        self.image_step, self.totals = Record(), RunTotals()
        self.files: list[str] = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, index: int, loader: int = 0
    ) -> None:
        """Records one image; its masks are written already."""
        outcome: Outcome = outputs
        if outcome.statistics is None:
            return
        self.totals.add(outcome.statistics)
        self.files += [path for notes in outcome.files.values() for path in notes]
        if self.resume_log is not None and self.wanted is not None and outcome.content is not None:
            self.resume_log.record(batch.image_id, self.wanted(batch.image_id), outcome.content, outcome.files)

    on_predict_batch_end = on_test_batch_end  # type: ignore[assignment]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gathers all processes and writes the table of samples."""
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            dist.all_gather_object(parts, (self.totals, self.files))
            self.totals, self.files = RunTotals(), []
            for totals, files in parts:
                self.totals.merge(totals)
                self.files += files
        for _, result in self.taken_up.results():
            self.totals.add(result.statistics)
        if trainer.is_global_zero:
            self.totals.table.write(self.samples)

    on_predict_end = on_test_end

    def failures(self) -> list[Failure]:
        """Everything that could not be refined, with its reason."""
        return self.problems + self.totals.failures

    def warnings(self) -> list[str]:
        """What had to be decided about images and a person should know of; what is true of several, once."""
        images: dict[str, list[str]] = defaultdict(list)
        for image, sentence in sorted(self.totals.warnings):
            images[sentence].append(image)
        sentences = [
            f"{found[0]}{f' and {len(found) - 1} more' if len(found) > 1 else ''}: {sentence}"
            for sentence, found in images.items()
        ]
        if self.totals.overlapping:
            sentences.append(
                f"{self.totals.overlapping} refined masks gave up {self.totals.overlap} px to others of their file, "
                "which holds one label a pixel; `overlap` in samples.csv says how many each"
            )
        return sentences

    def counts(self) -> dict[str, int]:
        """`images, masks, empty, fallback, failed`, and any other flag that was raised."""
        flags = self.totals.flags
        known = {"images": self.totals.images, "masks": sum(flags.values()), "failed": len(self.failures())}
        return {**known, EMPTY: flags[EMPTY], FALLBACK: flags[FALLBACK], **dict(sorted(flags.items()))}

    def origins(self) -> dict[str, float] | None:
        """Share of the masks that each of several refiners won; None where there was one."""
        won = self.totals.origins
        return {name: count / won.total() for name, count in won.most_common()} if won else None

    def timing(self) -> dict[str, float | None]:
        """Seconds by stage, their total, and images and masks per second of it (no evaluation, no file access).

        None everywhere if nothing was timed, as for masks that another tool has written.
        """
        if not self.totals.seconds:
            return dict.fromkeys((*STAGES, "total"))
        seconds = {stage: self.totals.seconds[stage] for stage in STAGES}
        total = sum(seconds.values())
        masks = sum(self.totals.flags.values())
        rate = {"images_per_second": self.totals.images / total, "masks_per_second": masks / total} if total else {}
        return {**seconds, "total": total, **rate}
