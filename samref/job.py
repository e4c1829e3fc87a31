"""A job: one composed configuration, its folder, and whether it has been run already."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from samref.configs import plain
from samref.files import write_text

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
        folder = Path(config["paths"]["outputs"]) / config["name"] / "-".join([*named, fingerprint(config)])
        return cls(config, folder)

    @property
    def report_path(self) -> Path:
        """The report, which is written last."""
        return self.folder / "report.json"

    def finished(self) -> dict[str, Any] | None:
        """The report of an earlier run that finished, else None."""
        try:
            report: dict[str, Any] = json.loads(self.report_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return report

    def finish(self, report: dict[str, Any]) -> None:
        """Writes the report atomically: from now on the job counts as finished."""
        write_text(self.report_path, json.dumps(report, indent=1, default=str, allow_nan=True) + "\n")


def fingerprint(config: dict[str, Any]) -> str:
    """Eight characters that two configurations share exactly when they ask for the same results."""
    material = {key: value for key, value in config.items() if key not in IMMATERIAL}
    for group, keys in IMMATERIAL_PARTS.items():
        if isinstance(material.get(group), dict):
            material[group] = {key: value for key, value in material[group].items() if key not in keys}
    text = json.dumps(material, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
