"""Which of SAM's masks is taken: predicted, single, coarse or oracle (paper, section 3.3 and Fig. 5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from samref.errors import ConfigError
from samref.structures import FloatArray, IntArray

IouArray = npt.NDArray[np.float64]

RULES = ("predicted", "single", "coarse", "oracle")


def check_rule(rule: str) -> str:
    """The rule itself, or a `ConfigError` that names the rules there are."""
    if rule not in RULES:
        raise ConfigError(f"refiner.selection is '{rule}'; expected one of {', '.join(RULES)}")
    return rule


def select(
    rule: str,
    iou_predictions: FloatArray,
    coarse_iou: IouArray | None = None,
    truth_iou: IouArray | None = None,
) -> IntArray:
    """Chooses one mask for each row.

    Args:
        rule: `predicted` (argmax of the predicted IoUs), `single` (SAM's single-mask token), `coarse` (argmax of the
            IoU with the coarse mask) or `oracle` (argmax of the IoU with the truth; evaluation only).
        iou_predictions: N x 3, of the three candidates.
        coarse_iou: N x 3, needed by `coarse`.
        truth_iou: N x 3, needed by `oracle`.

    Returns:
        N int64: 0 to 2 among the three candidates (the first of equals), or -1 for the single-mask token.

    >>> select("predicted", np.array([[0.2, 0.9, 0.9]], dtype=np.float32))
    array([1])
    """
    if rule == "single":
        return np.full(len(iou_predictions), -1, dtype=np.int64)
    scores = {"predicted": iou_predictions, "coarse": coarse_iou, "oracle": truth_iou}[check_rule(rule)]
    if scores is None:
        raise ConfigError(
            f"refiner.selection={rule} needs {'ground truth' if rule == 'oracle' else 'coarse masks'}, "
            "which this data set does not give; use refiner.selection=predicted"
        )
    chosen: IntArray = scores.argmax(axis=1).astype(np.int64)
    return chosen
