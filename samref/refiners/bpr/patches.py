"""BPR's patches: where they lie along a contour, what the network sees of them, and how they are put together."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samref.refiners.windows import Window, thinned
from samref.structures import BoolArray, FloatArray

PIXEL_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
PIXEL_STD = np.array([58.395, 57.12, 57.375], np.float32)
CELLS = 9


def boundary_scores(mask: BoolArray) -> FloatArray:
    """How evenly the 3 x 3 px around each pixel are split by the contour: H x W in ninths of two, 0 off the contour.

    What lies outside the image counts as background, so that a mask that touches the rim has a contour there.

    >>> boundary_scores(np.eye(3, dtype=bool))[1, 1]
    np.float32(0.6666667)
    """
    count = cv2.boxFilter(
        np.ascontiguousarray(mask).view(np.uint8), cv2.CV_32F, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    scores: FloatArray = np.minimum(count, CELLS - count) / np.float32(CELLS / 2)
    return scores


def patch_windows(mask: BoolArray, patch: int, iou_threshold: float) -> list[Window]:
    """Square patches along a mask's contour, thinned out, the best first.

    Args:
        mask: H x W, both longer than a patch.
        patch: side of a patch, px.
        iou_threshold: IoU with a better patch above which one is left out.
    """
    scores = boundary_scores(mask)
    y, x = np.nonzero(scores)
    corners = torch.from_numpy(np.stack([x, y], axis=1).astype(np.float32)) - patch // 2
    kept = thinned(torch.cat([corners, corners + patch], dim=1), torch.from_numpy(scores[y, x]), iou_threshold)
    height, width = mask.shape
    starts = [(_inside(int(x0), patch, width), _inside(int(y0), patch, height)) for x0, y0 in corners[kept].tolist()]
    return [Window(x0, y0, x0 + patch, y0 + patch) for x0, y0 in starts]


def network_input(image: npt.NDArray[np.uint8], mask: BoolArray, windows: Sequence[Window], size: int) -> Tensor:
    """What the network sees of patches.

    Args:
        image: H x W x 3 uint8 RGB.
        mask: H x W bool.
        windows: B patches.
        size: to which they are enlarged.

    Returns:
        B x 4 x size x size float32: normalized RGB, and the mask as -1 and 1.
    """
    made = np.empty((len(windows), size, size, 4), np.float32)
    for one, window in zip(made, windows, strict=True):
        # As the authors do: the image is rounded to 8 bits again after it is enlarged.
        pixels = cv2.resize(np.ascontiguousarray(image[window.slices]), (size, size), interpolation=cv2.INTER_LINEAR)
        shape = np.ascontiguousarray(mask[window.slices]).view(np.uint8)
        one[..., :3] = (pixels - PIXEL_MEAN) / PIXEL_STD
        one[..., 3] = cv2.resize(shape, (size, size), interpolation=cv2.INTER_NEAREST) * 2.0 - 1
    return torch.from_numpy(made).permute(0, 3, 1, 2).contiguous()


def averaged(size: tuple[int, int], windows: Sequence[Window], probabilities: Sequence[FloatArray]) -> FloatArray:
    """Mean probabilities of the patches that lie over each pixel: H x W, NaN where none does."""
    total, count = np.zeros(size, np.float32), np.zeros(size, np.uint16)
    for window, probability in zip(windows, probabilities, strict=True):
        total[window.slices] += probability
        count[window.slices] += 1
    return np.divide(total, count, out=np.full(size, np.nan, np.float32), where=count > 0)


def _inside(start: int, patch: int, length: int) -> int:
    """Where a patch starts that must not leave an image; one moved in from the far end leaves out the last pixel."""
    if start < 0:
        return 0
    return start if start + patch < length else length - 1 - patch
