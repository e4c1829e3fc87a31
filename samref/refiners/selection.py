"""Which of SAM's masks is taken: predicted, single, coarse or oracle (paper, section 3.3 and Fig. 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samref.errors import ConfigError
from samref.structures import FloatArray, IntArray

IouArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What a rule chooses by, N x 3 each.

    Attributes:
        predicted: predicted IoUs of the three candidates.
        coarse_iou: their IoUs with the coarse mask; only for rules with `needs_coarse`.
        truth_iou: their IoUs with the ground truth; None without one.
    """

    predicted: FloatArray
    coarse_iou: IouArray | None = None
    truth_iou: IouArray | None = None


class SelectionRule:
    """Chooses one mask for each row of `Scores`. A new rule is one class, and one line in `RULES`.

    Attributes:
        needs_coarse: whether the IoUs with the coarse mask are to be computed.
        needs_truth: whether those with the ground truth are, in every round.
    """

    needs_coarse = False
    needs_truth = False

    def __call__(self, scores: Scores) -> IntArray:
        """N int64: 0 to 2 among the three candidates (the first of equals), or -1 for the single-mask token."""
        raise NotImplementedError


class Predicted(SelectionRule):
    """The highest predicted IoU (the paper's).

    >>> Predicted()(Scores(np.array([[0.2, 0.9, 0.9]], dtype=np.float32)))
    array([1])
    """

    def __call__(self, scores: Scores) -> IntArray:
        """See `SelectionRule`."""
        return _highest(scores.predicted)


class Single(SelectionRule):
    """SAM's single-mask token."""

    def __call__(self, scores: Scores) -> IntArray:
        """See `SelectionRule`."""
        return np.full(len(scores.predicted), -1, dtype=np.int64)


class Coarse(SelectionRule):
    """The highest IoU with the coarse mask."""

    needs_coarse = True

    def __call__(self, scores: Scores) -> IntArray:
        """See `SelectionRule`."""
        assert scores.coarse_iou is not None
        return _highest(scores.coarse_iou)


class Oracle(SelectionRule):
    """The highest IoU with the ground truth; an upper bound, for evaluation only."""

    needs_truth = True

    def __call__(self, scores: Scores) -> IntArray:
        """See `SelectionRule`."""
        if scores.truth_iou is None:
            raise ConfigError(
                "refiner.selection=oracle needs ground truth, which this data set does not give; use "
                "refiner.selection=predicted"
            )
        return _highest(scores.truth_iou)


RULES: dict[str, SelectionRule] = {
    "predicted": Predicted(),
    "single": Single(),
    "coarse": Coarse(),
    "oracle": Oracle(),
}


def selection_rule(name: str) -> SelectionRule:
    """The rule of that name, or a `ConfigError` that names the rules there are."""
    if name not in RULES:
        raise ConfigError(f"refiner.selection is '{name}'; expected one of {', '.join(RULES)}")
    return RULES[name]


def _highest(scores: FloatArray | IouArray) -> IntArray:
    chosen: IntArray = scores.argmax(axis=1).astype(np.int64)
    return chosen
