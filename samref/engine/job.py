"""A job: one composed configuration, its folder, and whether it has been run already."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig

from samref.config.compose import plain
from samref.errors import OutputError
from samref.io.atomic import Note, changed_files, missing_files, note_of, write_text

# Keys that change where, how fast or how loudly a job runs, never what comes out.
IMMATERIAL = ("force", "paths", "logger", "trainer", "callbacks", "num_workers", "name")
IMMATERIAL_PARTS = {"backbone": ("device", "cache", "cache_max_gb"), "refiner": ("chunk_size",)}


@dataclass(frozen=True)
class Job:
    """Where a configuration's results live.

    Attributes:
        config: the resolved configuration.
        folder: of its results; the same configuration always has the same folder.
    """

    config: dict[str, Any]
    folder: Path

    @classmethod
    def of(cls, cfg: DictConfig) -> Job:
        """The job of a composed configuration."""
        config = plain(cfg)
        choices = config.get("hydra_choices", {})
        named = [
            str(choices[group])
            for group in ("dataset", "refiner", "prompts", "adaption", "backbone")
            if group in choices
        ]
        folder = Path(config["paths"]["outputs"]) / str(config["name"]) / "-".join([*named, fingerprint(config)])
        return cls(config, folder)

    @property
    def written_path(self) -> Path:
        """What the run has written elsewhere, so that a report is not taken for masks that are gone."""
        return self.folder / ".written.json"

    @property
    def report_path(self) -> Path:
        """The report, which is written last."""
        return self.folder / "report.json"

    def finished(self) -> dict[str, Any] | None:
        """The report of an earlier run that finished, else None."""
        try:
            report = json.loads(self.report_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not (isinstance(report, dict) and {"metrics", "counts", "failures", "finished"} <= set(report)):
            return None
        written = self._written()
        own = {str(self.report_path): written.pop(str(self.report_path), (0, ""))}
        if changed_files(own):
            return None
        demand_unchanged(changed_files(written))
        return None if missing_files(written) else report

    def finish(self, report: dict[str, Any], written: dict[str, Note]) -> None:
        """Writes the report atomically: from now on the job counts as finished.

        Args:
            report: of the run.
            written: what it has written beside the report.
        """
        text = json.dumps(report, indent=1, default=str, allow_nan=True) + "\n"
        notes = {**{path: written[path] for path in sorted(written)}, str(self.report_path): note_of(text)}
        write_text(self.written_path, json.dumps(notes))
        write_text(self.report_path, text)

    def _written(self) -> dict[str, Note]:
        try:
            noted = json.loads(self.written_path.read_text(encoding="utf-8"))
            return {str(path): (int(size), str(digest)) for path, (size, digest) in noted.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def first_process() -> bool:
    """Whether this is the process that starts, reports and ends a run, and none of its helpers on other devices."""
    return not getattr(rank_zero_only, "rank", 0)


def demand_unchanged(changed: list[str]) -> None:
    """Raises `OutputError` where files of an earlier run were changed since: nobody's work is overwritten unasked."""
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise OutputError(
            f"{changed[0]}{more} changed since this run wrote it; choose another folder, or run with force=true to "
            "write everything again"
        )


def fingerprint(config: dict[str, Any]) -> str:
    """Eight characters that two configurations share exactly when they ask for the same results."""
    material = {key: value for key, value in config.items() if key not in IMMATERIAL}
    for group, keys in IMMATERIAL_PARTS.items():
        if isinstance(material.get(group), dict):
            material[group] = {key: value for key, value in material[group].items() if key not in keys}
    text = json.dumps(material, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
