"""One job of a command: checked and announced first; only then what is slow to import is imported and run."""

from __future__ import annotations

import os

from omegaconf import DictConfig

from samref.config.check import check_paths


def run_job(cfg: DictConfig, command: str, announce: bool = True, brief: bool = False) -> str | None:
    """Runs one job and prints what came out.

    Args:
        cfg: composed configuration.
        command: what the user typed, for the report.
        announce: whether to say at once what is being loaded.
        brief: one line in place of a table, for the jobs of a sweep.

    Returns:
        A sentence on images that failed, with the first reason; None if all went well.

    Raises:
        SamrefError: for anything the user can fix.
    """
    check_paths(cfg)
    first = os.environ.get("LOCAL_RANK", "0") == "0"
    if announce and first:
        choices = cfg.hydra_choices
        print(f"loading {choices.get('backbone') or choices.get('refiner') or 'the refiner'} ...", flush=True)
    # Threads that wait for each other awake take turns with whatever else runs, and wait longer for it.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from samref.engine.job import first_process
    from samref.engine.runner import run
    from samref.report.screen import print_report

    report = run(cfg, command)
    if not first_process():
        return None
    print_report(report, brief=brief)
    failures = report["failures"]
    if not failures:
        return None
    count = f"{len(failures)} images failed, first: " if len(failures) > 1 else ""
    return f"{count}{failures[0]['reason']}; see `failures` in report.json"
