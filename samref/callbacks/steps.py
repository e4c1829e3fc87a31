"""What a run does with each image where its pixels are; imports no Lightning, which every worker would wait for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from samref.callbacks.announced import Announced
from samref.callbacks.outcome import Outcome
from samref.callbacks.refinement_json import to_json
from samref.callbacks.resume import SampleResult
from samref.callbacks.run_statistics import RunStatistics
from samref.callbacks.selection import FAILED, Offer, Selection
from samref.datasets.dataset import MaskWriter
from samref.io.atomic import noting_files, write_png, written_together
from samref.metrics.scorers import Scorer
from samref.structures import EMPTY, KEPT, BoolArray, Failure, Idle, Refinement, Sample
from samref.visualization.drawing import Canvas, View, captioned, outlined
from samref.visualization.gallery_items import failed_item, make_gallery_item, measure, picture_side

# Kinds of files that a run may write of an image.
MASKS, CANDIDATES = "masks", "candidates"
PANEL_HEIGHT = 480  # px, 4 cm in print
LONGEST_NAME = 100  # bytes; file systems allow 255, and a suffix follows
DEEPEST = 4
_PLAIN = re.compile(r"[\w\-+=][\w.\-+= ]*")


class Measure:
    """Compares masks with the ground truth."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def __call__(self, sample: Sample | Failure | Idle, outcome: Outcome) -> None:
        """See `Step`: `measured`."""
        if isinstance(sample, Sample) and outcome.refinement is not None:
            outcome.measured = self.scorer.measure(sample, outcome.refinement)


class Write:
    """Hands masks to the data set's own writer, and writes the three candidates."""

    def __init__(self, masks: MaskWriter | None, candidates: Path | None, announce: Announced | None = None) -> None:
        self.masks, self.candidates, self.announce = masks, candidates, announce

    def __call__(self, sample: Sample | Failure | Idle, outcome: Outcome) -> None:
        """See `Step`: `files`, `kept`."""
        if not isinstance(sample, Sample) or outcome.refinement is None:
            return
        if self.masks is not None:
            with noting_files() as outcome.files[MASKS], written_together(self.announce):
                outcome.kept = self.masks.write(sample, outcome.refinement)
        if self.candidates is not None:
            with noting_files() as outcome.files[CANDIDATES], written_together(self.announce):
                if outcome.refinement.candidates is not None:
                    write_candidates(self.candidates, sample, outcome.refinement)


class Draw:
    """Draws the first images that come: of several processes each draws its own first ones, which hold the run's."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self, sample: Sample | Failure | Idle, outcome: Outcome) -> None:
        """See `Step`: `row`."""
        if self.left and isinstance(sample, Sample) and outcome.refinement is not None:
            outcome.row = draw_row(sample, outcome.refinement)
            self.left -= 1


class Show:
    """Numbers of the masks for the gallery, and drawings of those that lead among the masks of this process."""

    def __init__(self, count: int, seed: int) -> None:
        self.selection, self.side = Selection(count, seed), picture_side(count)

    def __call__(self, sample: Sample | Failure | Idle, outcome: Outcome) -> None:
        """See `Step`: `numbers`, `offers`."""
        refinement = outcome.refinement
        offers = [self._failed(failure) for failure in failures_of(sample)]
        if isinstance(sample, Sample) and refinement is not None:
            columns = {} if outcome.measured is None else outcome.measured.columns
            outcome.numbers = {k: measure(sample, refinement, k, columns) for k in shown_masks(sample, refinement)}
            offers += [*self._refined(sample, refinement, outcome.numbers), *self._empty(sample, refinement)]
        outcome.offers = [offer for offer in offers if offer is not None]

    def _refined(
        self, sample: Sample, refinement: Refinement, numbered: Mapping[int, Mapping[str, float]]
    ) -> Iterator[Offer | None]:
        for k, numbers in numbered.items():
            score = None if refinement.scores is None else float(refinement.scores[k])
            ranked = ranked_by(numbers, refinement.flags[k], score)
            yield self._offer(sample, refinement, k, numbers, ranked)

    def _empty(self, sample: Sample, refinement: Refinement) -> Iterator[Offer | None]:
        for k, flag in enumerate(refinement.flags):
            if flag == EMPTY:
                yield self._offer(sample, refinement, k, {}, {EMPTY: 0.0})

    def _offer(
        self,
        sample: Sample,
        refinement: Refinement,
        k: int,
        numbers: Mapping[str, float],
        ranked: Mapping[str, float],
    ) -> Offer | None:
        make = partial(make_gallery_item, sample, refinement, k, dict(numbers), self.side)
        return self.selection.offer(str(sample.image_id), str(sample.object_ids[k]), ranked, make)

    def _failed(self, failure: Failure) -> Offer | None:
        make = partial(failed_item, failure)
        return self.selection.offer(str(failure.image_id), failure.reason, {FAILED: 0.0}, make)


class Record:
    """Rows for the table of samples, and what the resume log keeps; the last of the steps."""

    def __call__(self, sample: Sample | Failure | Idle, outcome: Outcome) -> None:
        """See `Step`: `statistics`, `content`."""
        if isinstance(sample, Idle):
            return
        columns = {} if outcome.measured is None else outcome.measured.columns
        outcome.statistics = RunStatistics.of(sample, outcome.refinement, columns)
        if outcome.refinement is not None:
            counts = None if outcome.measured is None else outcome.measured.counts
            values = to_json(outcome.refinement)
            outcome.content = SampleResult(outcome.statistics, counts, outcome.kept, values, outcome.numbers).to_bytes()


def failures_of(sample: Sample | Failure | Idle) -> Sequence[Failure]:
    """What could not be read: an image, or some of its masks."""
    if isinstance(sample, Failure):
        return [sample]
    return sample.meta.get("problems", ()) if isinstance(sample, Sample) else ()


def shown_masks(sample: Sample, refinement: Refinement) -> list[int]:
    """The places of the masks that the gallery may show: those that are not empty."""
    return [k for k, flag in enumerate(refinement.flags) if flag != EMPTY and sample.masks[k].any()]


def ranked_by(numbers: Mapping[str, float], flag: str, score: float | None) -> Mapping[str, float]:
    """What puts a mask into groups: its numbers and, if its coarse mask was kept, how surely."""
    return numbers if flag != KEPT or score is None else {**numbers, "kept": score}


def draw_row(sample: Sample, refinement: Refinement) -> list[Canvas]:
    """Coarse, refined and true masks (where there are any) of one image, with captions: h x w x 3 uint8 RGB each."""
    panels = [(f"{sample.image_id}: coarse", sample.masks), ("refined", refinement.masks)]
    if sample.truth is not None:
        panels.append(("truth", sample.truth))
    return [_panel(sample.image, masks, caption) for caption, masks in panels]


def _panel(image: Canvas, masks: BoolArray, caption: str) -> Canvas:
    height, width = image.shape[:2]
    view = View.of(image, max(1, round(PANEL_HEIGHT * max(height, width) / height)))
    return captioned(outlined(view.picture, view.masks(masks)), caption)


def write_candidates(folder: Path, sample: Sample, refinement: Refinement) -> None:
    """Writes `IMAGE/OBJECT_K.png` (0/255) for the three candidates K of every mask; slashes of an id make folders."""
    assert refinement.candidates is not None
    place = folder.joinpath(*map(safe_name, str(sample.image_id).split("/", DEEPEST)))
    for name, masks in zip(sample.object_ids, refinement.candidates, strict=True):
        for k, mask in enumerate(masks):
            write_png(place / f"{safe_name(str(name))}_{k}.png", mask.astype(np.uint8) * 255)


def safe_name(name: str) -> str:
    """An id as the name of one file, which no other id has.

    Ids of letters, digits and the usual marks stay as they are; any other, however long and whatever it holds, loses
    what a name may not hold and gets a hash behind it.

    >>> safe_name("object1"), safe_name("..")
    ('object1', '__-8539e5')
    """
    cleaned = re.sub(r"[^\w\-+= ]|^\.+|\.(?=\.)", "_", name) if not _PLAIN.fullmatch(name) else name
    cleaned = cleaned or "_"
    if cleaned == name and len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=3).hexdigest()
    return f"{cleaned.encode('utf-8', 'ignore')[:LONGEST_NAME].decode('utf-8', 'ignore')}-{digest}"
