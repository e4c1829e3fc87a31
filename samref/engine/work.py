"""What becomes of one image: refined, guarded, settled, then the steps of the callbacks. Imports no Lightning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from samref.callbacks.outcome import Outcome, Step
from samref.refiners.guard import Guard
from samref.refiners.samrefiner import Refiner
from samref.structures import Failure, Idle, Refinement, Sample


@dataclass(frozen=True)
class Work:
    """All that a run does with an image where its pixels are, in this process or in a worker.

    Attributes:
        refiner: what refines.
        keep_candidates: whether steps need SAM's three candidates.
        keep_logits: whether steps need full-resolution logits (semantic merging).
        guard: gives coarse masks back where their refinement is implausible, or None.
        settle: makes masks those that the data set's format can hold, or None.
        steps: of the callbacks, in their order.
    """

    refiner: Refiner
    keep_candidates: bool = False
    keep_logits: bool = False
    guard: Guard | None = None
    settle: Callable[[Sample, Refinement], None] | None = None
    steps: Sequence[Step] = ()

    def __call__(self, sample: Sample | Failure | Idle) -> Outcome:
        """Refines the masks of one image, and does with them what the steps do."""
        outcome = Outcome(self._refined(sample) if isinstance(sample, Sample) else None)
        for step in self.steps:
            step(sample, outcome)
        return outcome

    def _refined(self, sample: Sample) -> Refinement:
        refinement = self.refiner.refine_sample(
            sample, keep_candidates=self.keep_candidates, keep_logits=self.keep_logits
        )
        refinement = refinement if self.guard is None else self.guard(sample.masks, refinement)
        if self.settle is not None:
            self.settle(sample, refinement)
        return refinement
