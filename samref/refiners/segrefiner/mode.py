"""What SegRefiner's two modes have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samref.refiners.settling import Kept
from samref.stopwatch import Stopwatch
from samref.structures import BoolArray, FloatArray

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
# Probability from which a pixel is foreground.
HALF = 0.5

Pixels = npt.NDArray[np.uint8]
# Probabilities (B x 1 x S x S) of one pass through the network at time 0, from B x 3 x S x S and B x 1 x S x S.
Closer = Callable[[Tensor, Tensor], Tensor]


class Mode(Protocol):
    """How masks get into the network and out of it.

    Attributes:
        times: of the diffusion, descending.
        kept: why masks that are not refined stay.
    """

    @property
    def times(self) -> Sequence[int]: ...  # noqa: D102

    @property
    def kept(self) -> Kept: ...  # noqa: D102

    def refines(self, mask: BoolArray) -> bool:
        """Whether a mask (H x W) is refined at all."""
        ...

    def prepare(self, image: Pixels, masks: Sequence[BoolArray]) -> tuple[Tensor, Tensor]:
        """What the network sees: B x 3 x S x S, normalized, and B x 1 x S x S of 0 and 1."""
        ...

    def finish(
        self, image: Pixels, mask: BoolArray, probability: Tensor, fine: Tensor, closer: Closer, watch: Stopwatch
    ) -> FloatArray:
        """A refined mask at the image's size.

        Args:
            image: H x W x 3 uint8.
            mask: H x W, the coarse one.
            probability: S x S, of the foreground.
            fine: S x S, of being fine.
            closer: runs the network once more.
            watch: of the refinement.

        Returns:
            H x W probabilities of the foreground.
        """
        ...


def normalize(image: Pixels) -> Tensor:
    """1 x 3 x H x W float32 of an H x W x 3 RGB image, by ImageNet's statistics."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    return (pixels - torch.tensor(PIXEL_MEAN).view(3, 1, 1)) / torch.tensor(PIXEL_STD).view(3, 1, 1)
