"""What becomes of one image on its way through the steps and callbacks of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from samref.callbacks.run_statistics import RunStatistics
from samref.callbacks.selection import Offer
from samref.io.atomic import Note
from samref.metrics.scorers import Measured
from samref.structures import Failure, Idle, Refinement, Sample
from samref.visualization.drawing import Canvas


@dataclass
class Outcome:
    """One image's refinement, and what each step adds to it for those after it and for the callbacks.

    Attributes:
        refinement: None for an image that could not be read, for a process without an image, and where the image was
            refined in a worker process.
        measured: by the evaluator; None where nothing is scored.
        files: by the writer: what was written, by kind (`masks`, `candidates`) and path.
        kept: by the writer: what the format needs of this image at the end of the run.
        row: for the picture; None where it has enough of them.
        numbers: for the gallery: of each mask that it may show, by the mask's place.
        offers: for the gallery: the masks that may be shown.
        statistics: for the report; None for a process without an image.
        content: for the resume log, which takes it as it is; None where nothing was refined.
    """

    refinement: Refinement | None
    measured: Measured | None = None
    files: dict[str, dict[str, Note]] = field(default_factory=dict)
    kept: Any = None
    row: Sequence[Canvas] | None = None
    numbers: dict[int, Mapping[str, float]] | None = None
    offers: Sequence[Offer] = ()
    statistics: RunStatistics | None = None
    content: bytes | None = None

    def without_pixels(self) -> Outcome:
        """What callbacks need, which is little enough to go from process to process."""
        measured = None if self.measured is None else Measured({}, self.measured.counts)
        return replace(self, refinement=None, measured=measured)


class Step(Protocol):
    """What a callback does with an image where its pixels are, be it in a worker process; it must pickle."""

    def __call__(self, sample: Sample | Failure | Idle, outcome: Outcome) -> None:
        """Adds to the outcome.

        Args:
            sample: image and coarse masks, or why there are none.
            outcome: with what the steps before have added.
        """
        ...
