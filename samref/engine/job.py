"""A job: one composed configuration, its folder, and whether it has been run already."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig

from samref.callbacks.resume import ResumeLog
from samref.config.compose import plain
from samref.engine.inputs import Inputs
from samref.errors import OutputError
from samref.io.atomic import noting_files, write_text

# Raised whenever the same options and inputs give another mask or number than before.
RESULTS_VERSION = 1

# Options that change where, how fast or how loudly a job runs, or what else it leaves, but no mask and no number.
IMMATERIAL = (
    "force", "paths", "logger", "trainer", "callbacks", "num_workers", "name", "save_masks", "save_candidates",
)  # fmt: skip
IMMATERIAL_PARTS = {
    "backbone": ("device", "cache", "cache_max_gb"),
    "refiner": ("chunk_size", "device"),
    "trainer": (
        "accelerator", "devices", "num_nodes", "strategy", "enable_checkpointing", "enable_progress_bar",
        "enable_model_summary", "use_distributed_sampler", "log_every_n_steps", "profiler", "default_root_dir",
    ),
    "callbacks": ("progress", "picture", "gallery"),
}  # fmt: skip
# Options whose files must be there before a job counts as finished.
PRODUCING = ("save_masks", "save_candidates", "callbacks")
# Of Lightning's trainer: how many images are run depends on how many were left to do.
LIMITING = ("limit_test_batches", "limit_predict_batches", "fast_dev_run")


@dataclass(frozen=True)
class Job:
    """Where a configuration's results live.

    Attributes:
        config: the resolved configuration.
        folder: of its results; the same options always have the same folder.
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
    def report_path(self) -> Path:
        """The report, which is written last."""
        return self.folder / "report.json"

    @property
    def takes_up(self) -> bool:
        """Whether results of single images are taken up again, where they are the same as from nothing."""
        return not any(self.config.get("trainer", {}).get(key) is not None for key in LIMITING)

    def finished(self, inputs: Inputs, log: ResumeLog | None) -> dict[str, Any] | None:
        """The report of an earlier run that finished, else None.

        Args:
            inputs: of this run.
            log: of the earlier one; None in processes that do not read it.

        Raises:
            OutputError: if somebody has changed what that run wrote.
        """
        try:
            report = json.loads(self.report_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not (isinstance(report, dict) and {"metrics", "counts", "failures", "finished", "config"} <= set(report)):
            return None
        if report.get("identity") != inputs.identity or not isinstance(report["config"], dict):
            return None
        if any(_producing(report["config"], key) != _producing(self.config, key) for key in PRODUCING):
            return None
        if log is not None:
            changed = log.changed(inputs.samples)
            demand_unchanged([path for path in changed if Path(path).name != self.report_path.name])
            if changed or log.missing_outputs() or not log.notes(self.report_path):
                return None
        return report

    def finish(self, report: dict[str, Any], log: ResumeLog | None) -> None:
        """Writes the report atomically: from now on the job counts as finished."""
        with noting_files() as notes:
            write_text(self.report_path, json.dumps(report, indent=1, default=str, allow_nan=True) + "\n")
        if log is not None:
            log.record_outputs(notes)


def first_process() -> bool:
    """Whether this is the process that starts, reports and ends a run, and none of its helpers on other devices."""
    return not own_rank()


def own_rank() -> int:
    """This process's number among those of a run."""
    return int(getattr(rank_zero_only, "rank", 0) or 0)


def demand_unchanged(changed: list[str]) -> None:
    """Raises `OutputError` where files of an earlier run were changed since: nobody's work is overwritten unasked."""
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise OutputError(
            f"{changed[0]}{more} changed since this run wrote it; choose another folder, or run with force=true to "
            "write everything again"
        )


def material(config: dict[str, Any]) -> dict[str, Any]:
    """The options that can change a mask or a number."""
    kept = {key: value for key, value in config.items() if key not in IMMATERIAL}
    for group, keys in IMMATERIAL_PARTS.items():
        if isinstance(config.get(group), dict):
            options = {key: value for key, value in config[group].items() if key not in keys}
            if group not in IMMATERIAL or _says_something(options):
                kept[group] = options
    return kept


def fingerprint(config: dict[str, Any]) -> str:
    """Eight characters that two configurations share exactly when they ask for the same results."""
    text = json.dumps(material(config), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _says_something(options: dict[str, Any]) -> bool:
    return any(value for key, value in options.items() if (key, value) != ("_target_", "lightning.Trainer"))


def _producing(config: dict[str, Any], key: str) -> Any:
    options = config.get(key)
    return (
        {name: option for name, option in options.items() if name != "progress"}
        if isinstance(options, dict)
        else options
    )
