"""A run and its folder: whether it has been run already, what may be written, and its end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only

from samref.callbacks.resume import ResumeLog
from samref.engine.identity import producing
from samref.engine.inputs import Inputs
from samref.engine.run_config import RunConfig
from samref.errors import OutputError
from samref.io.atomic import noting_files, remove_partial, write_text

FIELDS = {"metrics", "counts", "failures", "finished", "config"}


@dataclass(frozen=True)
class Job:
    """What lies in the folder of a run.

    Attributes:
        config: of the run.
        inputs: what goes into it.
        log: of finished images; in other processes than the first, their own.
    """

    config: RunConfig
    inputs: Inputs
    log: ResumeLog

    @property
    def folder(self) -> Path:
        """Of the results."""
        return self.config.folder

    @property
    def report_path(self) -> Path:
        """The report, which is written last."""
        return self.folder / "report.json"

    def finished(self) -> dict[str, Any] | None:
        """The report of an earlier run with the same options and inputs that finished, else None.

        Raises:
            OutputError: if somebody has changed what that run wrote.
        """
        try:
            report = json.loads(self.report_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not (isinstance(report, dict) and set(report) >= FIELDS and isinstance(report["config"], dict)):
            return None
        if report.get("identity") != self.inputs.identity:
            return None
        if producing(report["config"]) != producing(self.config.resolved):
            return None
        # Other processes decide by the report alone: the first one's log is open there.
        return report if not first_process() or self._is_as_written() else None

    def prepare(self, output: Path | None) -> None:
        """Makes sure that nobody's work is overwritten, and clears away what a killed run left unfinished.

        Args:
            output: folder of refined masks, or None.

        Raises:
            OutputError: if somebody has changed what an earlier run wrote.
        """
        if self.config.force:
            self.log.forget()
        self._demand_unchanged()
        self.log.begin(self.inputs.samples)
        self.report_path.unlink(missing_ok=True)
        remove_partial(self.folder)
        if output and self.folder not in output.parents:
            remove_partial(output)

    def finish(self, report: dict[str, Any]) -> None:
        """Writes the report atomically: from now on the run counts as finished."""
        with noting_files() as notes:
            write_text(self.report_path, json.dumps(report, indent=1, default=str, allow_nan=True) + "\n")
        self.log.record_outputs(notes)

    def _is_as_written(self) -> bool:
        self._demand_unchanged()
        report_changed = str(self.report_path) in self.log.changed(self.inputs.samples)
        return not (report_changed or self.log.missing_outputs() or not self.log.notes(self.report_path))

    def _demand_unchanged(self) -> None:
        # A report that does not hold what was written is written again: it is nobody's work.
        changed = [path for path in self.log.changed(self.inputs.samples) if path != str(self.report_path)]
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise OutputError(
                f"{changed[0]}{more} changed since this run wrote it; choose another folder, or run with force=true "
                "to write everything again"
            )


def first_process() -> bool:
    """Whether this is the process that starts, reports and ends a run, and none of its helpers on other devices."""
    return not own_rank()


def own_rank() -> int:
    """This process's number among those of a run."""
    return int(getattr(rank_zero_only, "rank", 0) or 0)
