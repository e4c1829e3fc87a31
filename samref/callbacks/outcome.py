"""What becomes of one image on its way through the callbacks of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from samref.io.atomic import Note
from samref.metrics.scorers import Measured
from samref.structures import Refinement


@dataclass
class Outcome:
    """One image's refinement, and what each callback adds to it for those after it.

    Attributes:
        refinement: None for an image that could not be read and for a process without an image.
        measured: by the evaluator; None where nothing is scored.
        files: by the writer: what was written, by kind (`masks`, `candidates`) and path.
        kept: by the writer: what the format needs of this image at the end of the run.
        numbers: by the gallery: of each mask that it may show, by the mask's place.
    """

    refinement: Refinement | None
    measured: Measured | None = None
    files: dict[str, dict[str, Note]] = field(default_factory=dict)
    kept: Any = None
    numbers: dict[int, Mapping[str, float]] | None = None
