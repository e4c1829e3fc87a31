"""What was found out about where coarse masks come from, kept in the resume log."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import asdict

from samref.callbacks.resume import ResumeLog
from samref.engine.inputs import Inputs, digest
from samref.refiners.source import Evidence


class KnownEvidence(MutableMapping[int, list[Evidence]]):
    """Evidence of samples by their places in the data set, as long as their files stay the same."""

    def __init__(self, log: ResumeLog, inputs: Inputs, adaptor: str) -> None:
        """Keeps and finds evidence.

        Args:
            log: of the run.
            inputs: of the run.
            adaptor: hash of the adaptor in use, or empty.
        """
        self.log, self.common = log, (inputs.common, adaptor)
        self.samples = list(inputs.samples.values())

    def __getitem__(self, place: int) -> list[Evidence]:
        kept = self.log.evidence(self._key(place)) if self.samples[place] else None
        if not isinstance(kept, list):
            raise KeyError(place)
        return [Evidence(**values) for values in kept]

    def __setitem__(self, place: int, evidence: list[Evidence]) -> None:
        self.log.keep_evidence(self._key(place), [asdict(entry) for entry in evidence])

    def __delitem__(self, place: int) -> None:
        raise TypeError("evidence is kept as long as the resume log is")

    def __iter__(self) -> Iterator[int]:
        return (place for place in range(len(self.samples)) if place in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _key(self, place: int) -> str:
        return digest([*self.common, self.samples[place]])
