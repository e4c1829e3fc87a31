"""Instance mode: each mask is refined in a crop around it, at the network's own size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from samref.errors import ConfigError
from samref.geometry.masks import tight_box
from samref.refiners.segrefiner.diffusion import TIMES
from samref.refiners.segrefiner.mode import HALF, Closer, Pixels, normalize
from samref.refiners.settling import Kept
from samref.refiners.windows import Window
from samref.stopwatch import Stopwatch
from samref.structures import BoolArray, FloatArray


class Instance:
    """Crops around the masks; see `samref.refiners.segrefiner.mode.Mode`."""

    def __init__(self, size: int, steps: int, pad: int, min_area: int) -> None:
        """Checks the options.

        Args:
            size: px of a crop in the network.
            steps: times of the diffusion, 1 to 6.
            pad: px around a mask's tight box.
            min_area: px of a mask below which it stays.

        Raises:
            ConfigError: for a value out of range.
        """
        if not 1 <= steps <= TIMES or pad < 0 or min_area < 0:
            raise ConfigError(
                f"refiner has steps={steps}, pad={pad}, min_area={min_area}; expected 1 to {TIMES}, and at least 0 for "
                "the others"
            )
        self.size, self.pad, self.min_area = size, pad, min_area
        self.times = range(TIMES - 1, TIMES - 1 - steps, -1)
        self.kept = Kept(f"kept: fewer than {min_area} px, which SegRefiner's instance mode does not refine")

    def refines(self, mask: BoolArray) -> bool:
        """Whether a mask (H x W) is large enough."""
        return bool(np.count_nonzero(mask) >= max(self.min_area, 1))

    def prepare(self, image: Pixels, masks: Sequence[BoolArray]) -> tuple[Tensor, Tensor]:
        """Crops of image and masks, B x 3 x S x S and B x 1 x S x S."""
        return crops(image, masks, [crop_window(mask, self.pad) for mask in masks], self.size)

    def finish(
        self, image: Pixels, mask: BoolArray, probability: Tensor, fine: Tensor, closer: Closer, watch: Stopwatch
    ) -> FloatArray:
        """Pastes a crop's probabilities where it came from; 0 elsewhere."""
        with watch("postprocess"):
            window = crop_window(mask, self.pad)
            result = np.zeros(mask.shape, np.float32)
            result[window.slices] = pasted(probability, window)
            return result


def crop_window(mask: BoolArray, pad: int) -> Window:
    """A mask's tight box, so many px wider on each side as far as the image goes.

    >>> mask = np.zeros((50, 60), bool); mask[10:20, 30:55] = True
    >>> crop_window(mask, 8)
    Window(x0=22, y0=2, x1=60, y1=28)
    """
    box = tight_box(mask)
    assert box is not None, "empty masks are not refined"
    height, width = mask.shape
    x0, y0, x1, y1 = box
    return Window(max(x0 - pad, 0), max(y0 - pad, 0), min(x1 + 1 + pad, width), min(y1 + 1 + pad, height))


def crops(image: Pixels, masks: Sequence[BoolArray], windows: Sequence[Window], size: int) -> tuple[Tensor, Tensor]:
    """Image and masks inside windows, resized bilinearly whatever their aspect.

    Args:
        image: H x W x 3 uint8.
        masks: B masks, H x W bool.
        windows: one a mask.
        size: of the crops, S.

    Returns:
        B x 3 x S x S, normalized, and B x 1 x S x S of 0 and 1.
    """
    pixels, shapes = [], []
    for mask, window in zip(masks, windows, strict=True):
        part = torch.from_numpy(np.ascontiguousarray(mask[window.slices]))[None, None].float()
        pixels.append(_resized(normalize(image[window.slices]), size))
        shapes.append((_resized(part, size) >= HALF).float())
    return torch.cat(pixels), torch.cat(shapes)


def pasted(probability: Tensor, window: Window) -> FloatArray:
    """A crop's probabilities (S x S) at its window's size: h x w float32.

    Outside the crop they count as 0, so that they fall by half towards its rim, as they do in the authors' code.
    """
    columns, rows = _centers(window.x1 - window.x0), _centers(window.y1 - window.y0)
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    found = F.grid_sample(probability[None, None].float(), grid[None], align_corners=False)
    values: FloatArray = found[0, 0].numpy()
    return values


def _resized(x: Tensor, size: int) -> Tensor:
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)


def _centers(count: int) -> Tensor:
    """Centers of so many pixels in [-1, 1]."""
    return (torch.arange(count, dtype=torch.float32) + 0.5) / count * 2 - 1
