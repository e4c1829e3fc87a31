"""Chooses the masks worth looking at while a run goes on, and leaves them as `gallery.html`."""

from __future__ import annotations

import hashlib
from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning import Callback, LightningModule, Trainer

from samref.callbacks.evaluator import Evaluator
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
        self.leaders: dict[str, list[tuple[Rank, GalleryItem]]] = {name: [] for name in (*RANKED, RANDOM)}

    def offer(self, image_id: str, object_id: str, numbers: Numbers, make: Callable[[], GalleryItem]) -> None:
        """Takes one mask where it leads a group.

        Args:
            image_id: of its image.
            object_id: of the mask.
            numbers: of the mask.
            make: draws the item; called only if it is taken.
        """
        self.seen += 1
        draw = random_rank(self.seed, image_id, object_id)
        ranks: dict[str, Rank] = {RANDOM: (0.0, draw)}
        ranks |= {name: (sign * numbers[key], draw) for name, (key, sign) in RANKED.items() if key in numbers}
        wanted = [name for name, rank in ranks.items() if self._leads(name, rank)]
        if wanted:
            item = make()
            for name in wanted:
                self._insert(name, ranks[name], item)

    def merge(self, other: Selection) -> None:
        """Takes in what another process chose."""
        self.seen += other.seen
        for name, entries in other.leaders.items():
            for rank, item in entries:
                self._insert(name, rank, item)

    def items(self) -> list[GalleryItem]:
        """At most `count` items, group by group, each once and with the names of all its groups."""
        wanted = WITH_TRUTH if self.leaders["worst"] else WITHOUT_TRUTH if self.leaders["doubtful"] else UNSCORED
        ranked = [name for name in wanted if self.leaders[name]]
        share = max(1, self.count // (len(ranked) + 1))
        chosen: dict[tuple[str, str], GalleryItem] = {}
        for name in (*ranked, RANDOM):
            for _, item in self.leaders[name][:share]:
                _add(chosen, item, name)
        # Masks that lead several groups leave room.
        for _, item in self.leaders[RANDOM][share:]:
            if len(chosen) < self.count and _key(item) not in chosen:
                _add(chosen, item, RANDOM)
        return list(chosen.values())[: self.count]

    def _leads(self, name: str, rank: Rank) -> bool:
        entries = self.leaders[name]
        return len(entries) < self.count or rank < entries[-1][0]

    def _insert(self, name: str, rank: Rank, item: GalleryItem) -> None:
        insort(self.leaders[name], (rank, item), key=lambda entry: entry[0])
        del self.leaders[name][self.count :]


class Gallery(Callback):
    """Writes `gallery.html`, and shows the same masks to loggers that have a method `log_gallery_items`."""

    def __init__(self, path: Path, count: int, seed: int, heading: Callable[[], Heading]) -> None:
        """Chooses where to and how much.

        Args:
            path: of the page.
            count: masks at most.
            seed: of those drawn at random.
            heading: called when the run has ended.
        """
        if isinstance(count, bool) or count < 1:
            raise ConfigError(f"callbacks.gallery is {count}; expected how many masks it shows, or 0 for no gallery")
        self.path, self.heading = path, heading
        self.selection = Selection(count, seed)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, index: int, loader: int = 0
    ) -> None:
        """Offers the masks of one image."""
        refinement: Refinement | None = outputs["refinement"]
        if refinement is None:
            return
        for k in _shown(batch, refinement):
            numbers = measure(batch, refinement, k, outputs.get("columns", {}))
            self.selection.offer(
                str(batch.image_id),
                str(batch.object_ids[k]),
                _ranked_by(numbers, refinement, k),
                lambda k=k, numbers=numbers: make_gallery_item(batch, refinement, k, numbers),  # type: ignore[misc]
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
        items = self.selection.items()
        write_gallery(self.path, items, replace(self.heading(), seen=self.selection.seen))
        for logger in trainer.loggers:
            if hasattr(logger, "log_gallery_items"):
                logger.log_gallery_items(items)

    on_predict_end = on_test_end


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


def _add(chosen: dict[tuple[str, str], GalleryItem], item: GalleryItem, group: str) -> None:
    known = chosen.get(_key(item), item)
    chosen[_key(item)] = replace(known, groups=(*known.groups, group))


def _key(item: GalleryItem) -> tuple[str, str]:
    return item.image_id, item.object_id


def _ranked_by(numbers: Numbers, refinement: Refinement, k: int) -> Numbers:
    """What puts mask `k` into groups: its numbers and, if its coarse mask was kept, how surely."""
    if refinement.flags[k] != KEPT or refinement.scores is None:
        return numbers
    return {**numbers, "kept": float(refinement.scores[k])}


def _shown(sample: Sample, refinement: Refinement) -> list[int]:
    return [k for k, flag in enumerate(refinement.flags) if flag != EMPTY and sample.masks[k].any()]
