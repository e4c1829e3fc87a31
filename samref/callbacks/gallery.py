"""Chooses the masks worth looking at while a run goes on, and leaves them as `gallery.html`."""

from __future__ import annotations

import hashlib
from bisect import insort
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning import Callback, LightningModule, Trainer

from samref.callbacks.evaluator import Evaluator
from samref.callbacks.outcome import Outcome
from samref.callbacks.resume import SampleResult
from samref.callbacks.taken_up import TakenUp
from samref.errors import ConfigError
from samref.report.gallery import GalleryItem, Heading, write_gallery
from samref.structures import EMPTY, KEPT, Refinement, Sample
from samref.visualization.gallery_items import Numbers, make_gallery_item, measure

Rank = tuple[float, int]
# Which number puts a mask at the front of a group, and with which sign; a mask without the number is not offered.
RANKED: Mapping[str, tuple[str, int]] = {
    "worst": ("gain", 1),
    "best": ("gain", -1),
    "doubtful": ("score", 1),
    "kept": ("kept", -1),
    "changed": ("agreement", 1),
    "unsure": ("predicted_iou", 1),
}
WITH_TRUTH = ("worst", "best", "doubtful", "kept", "changed")
# A score says more than the predicted IoU, which it contains.
WITHOUT_TRUTH = ("doubtful", "kept", "changed")
UNSCORED = ("changed", "unsure")
RANDOM = "random"
SHOWN_GROUPS = ("dataset", "prompts", "backbone", "refiner", "adaption")


@dataclass(frozen=True)
class Candidate:
    """A mask that leads a group.

    Attributes:
        key: ids of its image and object.
        item: drawn already, or what draws it; None comes out where its files cannot be read any more.
    """

    key: tuple[str, str]
    item: GalleryItem | Callable[[], GalleryItem | None]

    def drawn(self) -> GalleryItem | None:
        """The item."""
        return self.item if isinstance(self.item, GalleryItem) else self.item()


class Selection:
    """The masks that lead each group, of all that were offered; what does not lead is forgotten at once.

    What is chosen depends on the masks and the seed alone, not on their order or on how processes share them out.
    """

    def __init__(self, count: int, seed: int) -> None:
        """Starts empty.

        Args:
            count: items at most.
            seed: of the random group.
        """
        self.count, self.seed, self.seen = count, seed, 0
        self.leaders: dict[str, list[tuple[Rank, Candidate]]] = {name: [] for name in (*RANKED, RANDOM)}

    def offer(
        self,
        image_id: str,
        object_id: str,
        numbers: Mapping[str, float],
        make: Callable[[], GalleryItem | None],
        late: bool = False,
    ) -> None:
        """Takes one mask where it leads a group.

        Args:
            image_id: of its image.
            object_id: of the mask.
            numbers: of the mask.
            make: draws the item; called only if it is taken.
            late: whether it is called only if the mask still leads at the end.
        """
        self.seen += 1
        draw = random_rank(self.seed, image_id, object_id)
        ranks: dict[str, Rank] = {RANDOM: (0.0, draw)}
        ranks |= {name: (sign * numbers[key], draw) for name, (key, sign) in RANKED.items() if key in numbers}
        wanted = [name for name, rank in ranks.items() if self._leads(name, rank)]
        if wanted:
            item = make if late else make()
            if item is None:
                return
            for name in wanted:
                self._insert(name, ranks[name], Candidate((image_id, object_id), item))

    def merge(self, other: Selection) -> None:
        """Takes in what another process chose."""
        self.seen += other.seen
        for name, entries in other.leaders.items():
            for rank, candidate in entries:
                self._insert(name, rank, candidate)

    def items(self) -> list[GalleryItem]:
        """At most `count` items, group by group, each once and with the names of all its groups."""
        wanted = WITH_TRUTH if self.leaders["worst"] else WITHOUT_TRUTH if self.leaders["doubtful"] else UNSCORED
        ranked = [name for name in wanted if self.leaders[name]]
        share = max(1, self.count // (len(ranked) + 1))
        chosen: dict[tuple[str, str], Candidate] = {}
        groups: dict[tuple[str, str], list[str]] = {}
        for name in (*ranked, RANDOM):
            for _, candidate in self.leaders[name][:share]:
                chosen.setdefault(candidate.key, candidate)
                groups.setdefault(candidate.key, []).append(name)
        # Masks that lead several groups leave room.
        for _, candidate in self.leaders[RANDOM][share:]:
            if len(chosen) < self.count and candidate.key not in chosen:
                chosen[candidate.key], groups[candidate.key] = candidate, [RANDOM]
        drawn = ((key, candidate.drawn()) for key, candidate in list(chosen.items())[: self.count])
        return [replace(item, groups=tuple(groups[key])) for key, item in drawn if item is not None]

    def _leads(self, name: str, rank: Rank) -> bool:
        entries = self.leaders[name]
        return len(entries) < self._room(name) or rank < entries[-1][0]

    def _insert(self, name: str, rank: Rank, candidate: Candidate) -> None:
        insort(self.leaders[name], (rank, candidate), key=lambda entry: entry[0])
        del self.leaders[name][self._room(name) :]

    def _room(self, name: str) -> int:
        # No group but the random one, which fills up, ever has more than half the page.
        return self.count if name == RANDOM else max(1, self.count // 2)


class Gallery(Callback):
    """Writes `gallery.html`, and shows the same masks to loggers that have a method `log_gallery_items`.

    Masks that an earlier run refined are shown without their mask prompt, which is too large to be kept.
    """

    def __init__(
        self, folder: Path, count: int, seed: int, heading: Callable[[], Heading], taken_up: TakenUp | None = None
    ) -> None:
        """Chooses where to and how much.

        Args:
            folder: of the page.
            count: masks at most.
            seed: of those drawn at random.
            heading: called when the run has ended.
            taken_up: images that earlier runs have refined.
        """
        if isinstance(count, bool) or count < 1:
            raise ConfigError(
                f"callbacks.gallery.count is {count}; expected how many masks it shows, or callbacks.gallery=null"
            )
        self.path, self.heading, self.taken_up = folder / "gallery.html", heading, taken_up or TakenUp()
        self.selection = Selection(count, seed)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, index: int, loader: int = 0
    ) -> None:
        """Offers the masks of one image."""
        outcome: Outcome = outputs
        refinement = outcome.refinement
        if refinement is None:
            return
        columns = {} if outcome.measured is None else outcome.measured.columns
        outcome.numbers = {k: measure(batch, refinement, k, columns) for k in _shown(batch, refinement)}
        for k, numbers in outcome.numbers.items():
            score = None if refinement.scores is None else float(refinement.scores[k])
            self.selection.offer(
                str(batch.image_id),
                str(batch.object_ids[k]),
                _ranked_by(numbers, refinement.flags[k], score),
                partial(make_gallery_item, batch, refinement, k, dict(numbers)),
            )

    on_predict_batch_end = on_test_batch_end  # type: ignore[assignment]  # Lightning passes all by position

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gathers all processes and writes the page."""
        if trainer.world_size > 1:
            parts: list[Selection | None] = [None] * trainer.world_size
            dist.all_gather_object(parts, self.selection)
            self.selection = merged(part for part in parts if part is not None)
        if not trainer.is_global_zero:
            return
        for image_id, result in self.taken_up.results():
            self._offer_earlier(image_id, result)
        items = self.selection.items()
        write_gallery(self.path, items, replace(self.heading(), seen=self.selection.seen))
        for logger in trainer.loggers:
            if hasattr(logger, "log_gallery_items"):
                logger.log_gallery_items(items)

    on_predict_end = on_test_end

    def _offer_earlier(self, image_id: Hashable, result: SampleResult) -> None:
        numbered = result.numbers
        if numbered is None:
            # The run that refined it had no gallery.
            shown = self.taken_up.shown(image_id)
            numbered = {} if shown is None else {k: measure(*shown, k, {}) for k in _shown(*shown)}
        for k, numbers in numbered.items():
            row = result.statistics.rows[k]
            ranked_by = _ranked_by(numbers, row["flag"], row.get("score"))
            make = partial(self._earlier_item, image_id, k, dict(numbers))
            self.selection.offer(str(image_id), str(row["object"]), ranked_by, make, late=True)

    def _earlier_item(self, image_id: Hashable, k: int, numbers: Numbers) -> GalleryItem | None:
        shown = self.taken_up.shown(image_id)
        return None if shown is None else make_gallery_item(*shown, k, numbers)


def heading(config: Mapping[str, Any], command: str, evaluator: Evaluator) -> Heading:
    """What stands above the gallery of a job.

    Args:
        config: of the job, resolved.
        command: what the user typed; may be empty.
        evaluator: has the scores when the job has ended.
    """
    choices = config.get("hydra_choices", {})
    facts = [str(choices[group]) for group in SHOWN_GROUPS if choices.get(group) not in (None, "none")]
    return Heading(str(config["name"]), facts, command, scores=evaluator.scores)


def merged(parts: Iterable[Selection]) -> Selection:
    """What all processes chose, as one."""
    first, *others = parts
    for other in others:
        first.merge(other)
    return first


def random_rank(seed: int, image_id: str, object_id: str) -> int:
    """A mask's lot: 64 bits that depend on the seed and its names alone."""
    name = repr((seed, image_id, object_id)).encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big")


def _ranked_by(numbers: Mapping[str, float], flag: str, score: float | None) -> Mapping[str, float]:
    """What puts a mask into groups: its numbers and, if its coarse mask was kept, how surely."""
    return numbers if flag != KEPT or score is None else {**numbers, "kept": score}


def _shown(sample: Sample, refinement: Refinement) -> list[int]:
    return [k for k, flag in enumerate(refinement.flags) if flag != EMPTY and sample.masks[k].any()]
