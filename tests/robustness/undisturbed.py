"""What faults are done to: generated data, what an undisturbed run makes of it, runs in processes of their own."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samref.config.compose import compose_config
from samref.engine import runner
from samref.errors import SamrefError
from tests.factories import make_folder

SIZE = (24, 32)
Outcome = tuple[str, Any]


@dataclass(frozen=True)
class Undisturbed:
    """Data and undisturbed results that scenarios share.

    Attributes:
        folder: for the scenario's own files.
        data: images and masks.
        whole: what an undisturbed run writes, by relative path.
        report: its counts.
        seconds: how long it takes.
    """

    folder: Path
    data: Path
    whole: dict[str, bytes]
    report: dict[str, Any]
    seconds: float

    def config(self, name: str, *overrides: str) -> Any:
        """Of a run whose folders are called `name`."""
        return folder_config(self.data, self.folder / name, *overrides)

    def check(self, name: str) -> None:
        """That what stands in the output is whole, file by file."""
        for path, content in contents(self.folder / name / "masks").items():
            assert content == self.whole[path], f"{path} under its final name is not what it should be"

    def check_end(self, name: str, report: Outcome) -> None:
        """That a run has ended as the undisturbed one did."""
        assert report[0] == "done", report[1]
        assert contents(self.folder / name / "masks", hidden=True) == self.whole
        assert report[1]["counts"] == self.report["counts"]
        assert samples(report[1]) == samples(self.report)


def samples(report: dict[str, Any]) -> str:
    """The table of samples."""
    return str(report["samples"])


def folder_config(data: Path, folder: Path, *overrides: str) -> Any:
    """A run over images and masks with the tiny model, quick and quiet."""
    gallery = [] if any(word.startswith("callbacks.gallery") for word in overrides) else ["callbacks.gallery=0"]
    return compose_config(
        [
            "dataset=folder", f"dataset.images={data}/images", f"dataset.masks={data}/masks",
            f"dataset.output={folder}/masks", f"paths.outputs={folder}/runs", "backbone=tiny", "guard.enabled=false",
            "logger=none", "callbacks.progress=false", *gallery, "callbacks.picture=0",
            "backbone.device=cpu", *overrides,
        ]
    )  # fmt: skip


def contents(folder: Path, hidden: bool = False) -> dict[str, bytes]:
    """Every file below a folder but its lock; without `hidden`, those with a final name."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    paths = [path for path in paths if hidden or not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


def run(cfg: Any) -> dict[str, Any]:
    """The report of a run, with its table of samples."""
    report = runner.run(cfg)
    return {**report, "samples": Path(report["folder"], "samples.csv").read_text(encoding="utf-8")}


def in_child(
    work: Callable[[], Any], kill_after: float | None = None, before: Callable[[], None] = lambda: None
) -> Outcome:
    """Does work in a process of its own.

    Args:
        work: what to do; its result must be picklable.
        kill_after: seconds after which the process is killed, or None.
        before: done first, in the child.

    Returns:
        `("done", result)`, `("error", sentence)` for one of our errors, `("crash", traceback)` for any other, or
        `("killed", None)`.
    """
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        with open(os.devnull, "w") as sink:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
        try:
            before()
            outcome: Outcome = ("done", work())
        except SamrefError as error:
            outcome = ("error", str(error))
        except BaseException:
            outcome = ("crash", traceback.format_exc())
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with open(send, "wb") as file:
            pickle.dump(outcome, file)
        os._exit(0)
    os.close(send)
    timer = None if kill_after is None else threading.Timer(kill_after, os.kill, (child, signal.SIGKILL))
    if timer is not None:
        timer.start()
    with open(receive, "rb") as file:
        content = file.read()
    os.waitpid(child, 0)
    if timer is not None:
        timer.cancel()
    return pickle.loads(content) if content else ("killed", None)


def make_undisturbed(folder: Path, images: int = 20) -> Undisturbed:
    """Data, and what an undisturbed run makes of them."""
    data = make_folder(folder / "data", names=[f"image{k:03d}" for k in range(images)], size=SIZE)
    run(folder_config(data, folder / "warm", "limit=1"))
    clock = time.perf_counter()
    outcome = in_child(lambda: run(folder_config(data, folder / "whole")))
    assert outcome[0] == "done", outcome[1]
    whole = contents(folder / "whole" / "masks", hidden=True)
    assert len(whole) == images
    return Undisturbed(folder, data, whole, outcome[1], time.perf_counter() - clock)
