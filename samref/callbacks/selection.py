"""The masks that lead each group of a gallery, of all that a run offers."""

from __future__ import annotations

import hashlib
from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from samref.report.gallery import GalleryItem
from samref.structures import EMPTY

Rank = tuple[float, int]
FAILED = "failed"
# Which number puts a mask at the front of a group, and with which sign; a mask without the number is not offered.
RANKED: Mapping[str, tuple[str, int]] = {
    "worst": ("gain", 1),
    "best": ("gain", -1),
    "doubtful": ("score", 1),
    "kept": ("kept", -1),
    "changed": ("agreement", 1),
    "unsure": ("predicted_iou", 1),
    EMPTY: (EMPTY, 1),
    FAILED: (FAILED, 1),
}
# What was not refined is shown beside what was, whatever the other groups are.
UNREFINED = (EMPTY, FAILED)
WITH_TRUTH = ("worst", "best", "doubtful", "kept", "changed", *UNREFINED)
# A score says more than the predicted IoU, which it contains.
WITHOUT_TRUTH = ("doubtful", "kept", "changed", *UNREFINED)
UNSCORED = ("changed", "unsure", *UNREFINED)
RANDOM = "random"


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


class Offer(NamedTuple):
    """A mask that leads some groups of one process.

    Attributes:
        ranks: by group.
        candidate: the mask.
    """

    ranks: Mapping[str, Rank]
    candidate: Candidate


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
    ) -> Offer | None:
        """Takes one mask where it leads a group.

        Args:
            image_id: of its image.
            object_id: of the mask.
            numbers: of the mask; `empty` or `failed` where it was not refined, which is not counted as seen.
            make: draws the item; called only if it is taken.
            late: whether it is called only if the mask still leads at the end.

        Returns:
            What was taken, for the selection of another process; None where the mask leads nowhere.
        """
        draw = random_rank(self.seed, image_id, object_id)
        ranks: dict[str, Rank] = {}
        if not numbers.keys() & set(UNREFINED):
            self.seen += 1
            ranks[RANDOM] = (0.0, draw)
        ranks |= {name: (sign * numbers[key], draw) for name, (key, sign) in RANKED.items() if key in numbers}
        wanted = [name for name, rank in ranks.items() if self._leads(name, rank)]
        item = None if not wanted else make if late else make()
        if item is None:
            return None
        offer = Offer({name: ranks[name] for name in wanted}, Candidate((image_id, object_id), item))
        self._insert(offer)
        return offer

    def take(self, offers: Sequence[Offer], seen: int) -> None:
        """Takes in what another process was offered.

        Args:
            offers: that it took.
            seen: masks among which they were.
        """
        self.seen += seen
        for offer in offers:
            self._insert(offer)

    def merge(self, other: Selection) -> None:
        """Takes in what another process chose."""
        self.seen += other.seen
        for name, entries in other.leaders.items():
            for rank, candidate in entries:
                self._insert(Offer({name: rank}, candidate))

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

    def _insert(self, offer: Offer) -> None:
        for name, rank in offer.ranks.items():
            insort(self.leaders[name], (rank, offer.candidate), key=lambda entry: entry[0])
            del self.leaders[name][self._room(name) :]

    def _room(self, name: str) -> int:
        # No group but the random one, which fills up, ever has more than half the page.
        return self.count if name == RANDOM else max(1, self.count // 2)


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
