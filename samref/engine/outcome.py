"""What a run comes to: all that its report says."""

from __future__ import annotations

import datetime
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from samref.metrics.scorers import Scores
from samref.refiners.source import Estimate


@dataclass(frozen=True)
class RunOutcome:
    """The content of `report.json`, field by field.

    Attributes:
        experiment: name of the run.
        command: what the user typed.
        config: the resolved configuration.
        identity: hash of options and inputs; two runs of one identity leave the same masks and numbers.
        metrics: `{"coarse": {...}, "refined": {...}}`, fractions; empty without ground truth.
        input: what the coarse masks are: `masks`, `regions` or `categories`.
        origins: share of the masks that each of several refiners won; None where there was one.
        counts: `images, masks, empty, fallback, failed`, and any other flag that was raised.
        failures: images that could not be refined, each with its reason.
        warnings: sentences on what had to be decided.
        taken_up: images that earlier runs have refined and that were not refined again.
        left_over: files that earlier runs wrote for what is no input any more.
        adaption: what is known of the adaptor; None without one.
        source: where the coarse masks come from; None where nothing is judged.
        calibration: IoU by ranges of the score, see `samref.report.calibration`; None without ground truth or scores.
        timing: seconds by stage, `total` of them, `wall` of the whole run; images and masks per second of `total`.
        peak_memory_mb: of the device; None where the system does not count it.
        hardware: processor, memory and accelerator.
        versions: of Python and of packages that decide results.
        git: commit, and whether there are changes; None outside a checkout.
        seed: of everything that is drawn.
        started: UTC, ISO 8601.
        finished: UTC, ISO 8601.
    """

    experiment: str
    command: str
    config: dict[str, Any]
    identity: str
    metrics: Scores
    input: str
    origins: dict[str, float] | None
    counts: dict[str, int]
    failures: list[dict[str, Any]]
    warnings: list[str]
    taken_up: int
    left_over: list[str]
    adaption: dict[str, Any] | None
    source: Estimate | None
    calibration: list[dict[str, Any]] | None
    timing: dict[str, float | None]
    peak_memory_mb: float | None
    hardware: dict[str, Any]
    versions: dict[str, str]
    git: dict[str, Any] | None
    seed: int
    started: str
    finished: str

    def report(self) -> dict[str, Any]:
        """The same as plain values, in this order."""
        return asdict(self)


@dataclass(frozen=True)
class TrainingOutcome:
    """The content of `report.json` of a training run; fields that are not named here are as in `RunOutcome`.

    Attributes:
        metrics: `{"trained": {...}}`: of the trained network, on data with ground truth.
        counts: `images` trained on, images `scored`, and `classes`.
        training: which masks, steps, mean losses along the fit, and the file of the trained network.
        timing: seconds of the `fit` (also as `total`), of the `score`, and `wall` of the whole run.
        seed: of the training.
    """

    experiment: str
    command: str
    config: dict[str, Any]
    identity: str
    metrics: Scores
    counts: dict[str, int]
    training: dict[str, Any]
    failures: list[dict[str, Any]]
    warnings: list[str]
    timing: dict[str, float]
    peak_memory_mb: float | None
    hardware: dict[str, Any]
    versions: dict[str, str]
    git: dict[str, Any] | None
    seed: int
    started: str
    finished: str

    def report(self) -> dict[str, Any]:
        """The same as plain values, in this order."""
        return asdict(self)


def now() -> str:
    """The time as reports show it: UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Clock:
    """When a run started.

    Attributes:
        started: see `now`.
        start: to count seconds from.
    """

    started: str = field(default_factory=now)
    start: float = field(default_factory=time.perf_counter)

    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self.start
