"""The table at the end of a sweep, gathered from the reports its jobs left."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

# Hydra imports this module before it runs any job: what a mistake does not need is imported where it is used.


class SweepTable(Callback):  # type: ignore[misc]
    """Shows *paper | ours | difference* when a sweep ends.

    After each job the table is written again, so that a sweep that stops half-way, or in which one job fails (Hydra
    then never signals the end of the sweep), leaves the table of what it finished.
    """

    def on_job_end(self, config: DictConfig, job_return: Any, **kwargs: Any) -> None:
        """Rewrites the table's files."""
        if config.hydra.mode is not None and config.hydra.mode.name == "MULTIRUN":
            from samref.report.sweep import write_sweep_table

            write_sweep_table(self._folder(config))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Prints the table and where it lies."""
        from rich.console import Console

        from samref.report.sweep import write_sweep_table

        folder = self._folder(config)
        table = write_sweep_table(folder)
        if table is None:
            logging.getLogger(__name__).warning("no finished report under %s", folder)
            return
        # Written to a file or a pipe, a table has no terminal's width to fit in.
        console = Console(width=None if sys.stdout.isatty() else 120)
        console.print(table)
        console.print(f"table: {folder}/table.md, {folder}/table.csv", highlight=False, soft_wrap=True)
        picture = best_picture(folder)
        if picture is not None:
            console.print(f"picture: {picture}", highlight=False, soft_wrap=True)

    @staticmethod
    def _folder(config: DictConfig) -> Path:
        return Path(config.paths.outputs) / str(config.name)


def best_picture(folder: Path) -> Path | None:
    """The picture of the job with the best first metric of its refined masks."""
    found = []
    for report in folder.glob("*/report.json"):
        picture = report.parent / "picture.png"
        try:
            refined = json.loads(report.read_text(encoding="utf-8"))["metrics"].get("refined", {})
        except (OSError, ValueError, KeyError):
            continue
        if picture.is_file():
            found.append((next(iter(refined.values()), 0.0), picture))
    return max(found, default=(0.0, None))[1]
