"""Semantic mode: the mask is refined in the downsized image, then at full resolution where that was unsure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from samref.errors import ConfigError
from samref.refiners.segrefiner.diffusion import TIMES
from samref.refiners.segrefiner.mode import HALF, Closer, Pixels, normalize
from samref.refiners.settling import Kept
from samref.refiners.windows import Window, chunks, thinned
from samref.stopwatch import Stopwatch
from samref.structures import BoolArray, FloatArray

# The authors' code empties masks of so many pixels or fewer; here they stay.
TOO_FEW = 128


class Semantic:
    """The downsized image, then patches of it; see `samref.refiners.segrefiner.mode.Mode`."""

    times = range(TIMES - 1, 0, -1)
    kept = Kept(f"kept: {TOO_FEW} px or fewer, which SegRefiner's semantic mode does not refine")

    def __init__(self, size: int, fine_threshold: float, iou_threshold: float, chunk_size: int) -> None:
        """Checks the options.

        Args:
            size: px of the downsized image and of a patch.
            fine_threshold: share of the highest probability of being fine below which a patch looks closer.
            iou_threshold: IoU of two patches above which the surer one is left out.
            chunk_size: patches in the network at once.

        Raises:
            ConfigError: for a value out of range.
        """
        if not (0 <= fine_threshold <= 1 and 0 <= iou_threshold <= 1):
            raise ConfigError(
                f"refiner has fine_threshold={fine_threshold}, iou_threshold={iou_threshold}; expected shares from 0 "
                "to 1 for both"
            )
        self.size, self.chunk_size = size, chunk_size
        self.fine_threshold, self.iou_threshold = fine_threshold, iou_threshold

    def refines(self, mask: BoolArray) -> bool:
        """Whether a mask (H x W) is large enough."""
        return bool(np.count_nonzero(mask) > TOO_FEW)

    def prepare(self, image: Pixels, masks: Sequence[BoolArray]) -> tuple[Tensor, Tensor]:
        """Image and masks downsized, B x 3 x S x S and B x 1 x S x S."""
        return downsized(image, masks, self.size)

    def finish(
        self, image: Pixels, mask: BoolArray, probability: Tensor, fine: Tensor, closer: Closer, watch: Stopwatch
    ) -> FloatArray:
        """Looks closer where the global step was unsure, at full resolution; elsewhere its result stands."""
        with watch("postprocess"):
            large = enlarged(probability, mask.shape)
            # The downsized image is an enlarged one then: every pixel has been seen.
            if max(mask.shape) < self.size:
                return large
            globally = large >= HALF
            unsure = unsure_windows(fine, mask.shape, self.fine_threshold, self.iou_threshold)
            windows = disputed(unsure, globally)
            overlay = Overlay(large)
        for chunk in chunks(windows, self.chunk_size):
            with watch("postprocess"):
                images, shapes = cut_out(image, globally, chunk, self.size)
            with watch("decode"):
                found = closer(images, shapes)
            with watch("postprocess"):
                for window, patch in zip(chunk, found, strict=True):
                    overlay.add(window, patch[0])
        return overlay.result()


def downsized(image: Pixels, masks: Sequence[BoolArray], size: int) -> tuple[Tensor, Tensor]:
    """Image and masks by nearest neighbors, whatever their aspect.

    Args:
        image: H x W x 3 uint8.
        masks: B masks, H x W bool.
        size: side of the result, S.

    Returns:
        B x 3 x S x S, normalized, and B x 1 x S x S of 0 and 1.
    """
    rows, columns = (nearest(size, length) for length in image.shape[:2])
    places = np.ix_(rows, columns)
    shapes = torch.from_numpy(np.stack([mask[places] for mask in masks]))[:, None].float()
    return normalize(image[places]).expand(len(masks), -1, -1, -1), shapes


def enlarged(values: Tensor, original_size: tuple[int, int]) -> FloatArray:
    """S x S values at the image's size by nearest neighbors: H x W float32."""
    rows, columns = (nearest(length, values.shape[0]) for length in original_size)
    large: FloatArray = values.cpu().numpy()[np.ix_(rows, columns)]
    return large


def nearest(count: int, length: int) -> npt.NDArray[np.int64]:
    """For each of `count` pixels along a side the pixel of another of `length` that lies nearest, as torch finds it.

    >>> nearest(4, 2).tolist(), nearest(2, 5).tolist()
    ([0, 0, 1, 1], [0, 2])
    """
    # float64 holds all pixel numbers exactly, and torch's index computation is in single precision.
    places: Tensor = F.interpolate(torch.arange(length, dtype=torch.float64)[None, None], size=count, mode="nearest")
    indices: npt.NDArray[np.int64] = places[0, 0].long().numpy()
    return indices


def unsure_windows(fine: Tensor, original_size: tuple[int, int], fine_threshold: float, iou_threshold: float) -> Tensor:
    """Windows of the network's size around the points that are least surely fine, thinned out.

    Args:
        fine: S x S, probability of being fine after the global step.
        original_size: (H, W) of the image.
        fine_threshold: points below this share of the highest probability get a window.
        iou_threshold: IoU with a less sure window from which a window is left out.

    Returns:
        K x 4 float32 windows (x0, y0, x1, y1), image px, ends exclusive, least sure first. Where the image is
        smaller than a window, that begins at 0 and ends outside.
    """
    size = fine.shape[0]
    y, x = torch.where(fine < fine_threshold * fine.max())
    starts = [
        ((places * length / size).long() - size // 2).clamp(0, max(length - size, 0))
        for places, length in ((x.float(), original_size[1]), (y.float(), original_size[0]))
    ]
    first = torch.stack(starts, dim=1).float()
    windows = torch.cat([first, first + size], dim=1)
    return windows[thinned(windows, 1 - fine[y, x], iou_threshold)]


def disputed(windows: Tensor, mask: BoolArray) -> list[Window]:
    """The windows in which a mask (H x W bool) is neither empty nor full."""
    found = [Window(*map(int, window)) for window in windows.tolist()]
    return [window for window in found if mask[window.slices].any() and not mask[window.slices].all()]


def cut_out(image: Pixels, mask: BoolArray, windows: Sequence[Window], size: int) -> tuple[Tensor, Tensor]:
    """Image and mask inside windows, at full resolution.

    Args:
        image: H x W x 3 uint8; mirrored where a window ends outside it.
        mask: H x W bool.
        windows: of the network's size.
        size: S.

    Returns:
        B x 3 x S x S, normalized, and B x 1 x S x S of 0 and 1.
    """
    rows, columns = (_mirrored(length, size) for length in mask.shape)
    places = [np.ix_(rows[window.y0 : window.y0 + size], columns[window.x0 : window.x0 + size]) for window in windows]
    pixels = torch.cat([normalize(image[place]) for place in places])
    return pixels, torch.from_numpy(np.stack([mask[place] for place in places]))[:, None].float()


class Overlay:
    """The probabilities of overlapping windows, averaged, over those of the global step."""

    def __init__(self, below: FloatArray) -> None:
        """Starts with no window.

        Args:
            below: H x W, what holds where there is none; changed in place.
        """
        self.below = below
        self.total = np.zeros_like(below)
        self.count = np.zeros(below.shape, np.uint16)

    def add(self, window: Window, probability: Tensor) -> None:
        """Adds a window's probabilities, S x S."""
        height, width = self.total[window.slices].shape
        self.total[window.slices] += probability[:height, :width].cpu().numpy()
        self.count[window.slices] += 1

    def result(self) -> FloatArray:
        """H x W probabilities of the foreground."""
        return np.divide(self.total, self.count, out=self.below, where=self.count > 0)


def _mirrored(length: int, size: int) -> npt.NDArray[np.int64]:
    """Pixels along a side, going back and forth until there are `size` of them."""
    return np.pad(np.arange(length), (0, max(size - length, 0)), mode="reflect")
