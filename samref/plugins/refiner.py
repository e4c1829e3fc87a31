"""What plugins refine with."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from samref.structures import BoolArray, Refinement


class MaskRefiner(Protocol):
    """What refines, such as `samref.SAMRefiner`."""

    def refine(self, image: npt.NDArray[np.uint8], masks: BoolArray) -> Refinement:
        """Refines N x H x W masks of an H x W x 3 image."""
        ...
