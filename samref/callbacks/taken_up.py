"""Results of earlier runs that count in this one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from samref.callbacks.refinement_json import from_json
from samref.callbacks.resume import ResumeLog, SampleResult, Wanted
from samref.datasets.loader import Samples
from samref.structures import Refinement, Sample


@dataclass(frozen=True)
class TakenUp:
    """The images that are not refined again; for other processes than the first there are none.

    Attributes:
        samples: of the run; None where nothing is taken up.
        log: has the results.
        wanted: of each image of the run, in the order of samples.
        images: those that are taken up, in the same order.
    """

    samples: Samples | None = None
    log: ResumeLog | None = None
    wanted: Mapping[Hashable, Wanted] = field(default_factory=dict)
    images: Sequence[Hashable] = ()

    def results(self) -> Iterator[tuple[Hashable, SampleResult]]:
        """Each image's result, one in memory at a time."""
        for image_id in self.images:
            yield image_id, self.result(image_id)

    def result(self, image_id: Hashable) -> SampleResult:
        """The result of one of the images."""
        assert self.log is not None
        return self.log.result(image_id, self.wanted[image_id])

    def shown(self, image_id: Hashable) -> tuple[Sample, Refinement] | None:
        """One of the images as it was refined; None if it cannot be read any more."""
        assert self.samples is not None
        sample = self.samples[list(self.wanted).index(image_id)]
        return (sample, from_json(self.result(image_id).refinement)) if isinstance(sample, Sample) else None
