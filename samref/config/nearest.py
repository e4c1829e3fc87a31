"""What a mistyped word was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any

# Share of a word's letters that must agree, in order.
CLOSE = 0.6
# Options of about the same likeness that are worth naming.
NAMED = 3
NEARLY = 0.05


def nearest(word: str, known: Iterable[Any]) -> list[str]:
    """The known words most like one, best first; none where nothing is like it.

    Of dotted keys the last parts count as much as all of them: `omega` finds `prompts.mask.omega`.
    """
    scored = [(_likeness(word, str(other)), str(other)) for other in known]
    best = max((score for score, _ in scored), default=0)
    close = sorted((-score, other) for score, other in scored if score >= max(CLOSE, best - NEARLY))
    return [other for _, other in close[:NAMED]]


def did_you_mean(word: str, known: Iterable[Any], form: str = "{}") -> str:
    """`did you mean this, or that?`; "" where nothing is like the word.

    Args:
        word: what was typed.
        known: what could have been meant.
        form: how a known word is written out, `{}` standing for it.
    """
    found = [form.format(other) for other in nearest(word, known)]
    return f"did you mean {' or '.join(found)}?" if found else ""


def _likeness(word: str, other: str) -> float:
    def ratio(a: str, b: str) -> float:
        return SequenceMatcher(None, a, b, autojunk=False).ratio()

    tail, other_tail = word.rpartition(".")[2], other.rpartition(".")[2]
    return max(ratio(word, other), (ratio(word, other) + ratio(tail, other_tail)) / 2)
