"""From SAM's low-resolution candidates to masks of the image, and their IoUs; a strip of one mask in memory at a time.

A resampled logit is a mean of logits on the grid, so it can be positive only where one of those is. Masks are made
there alone, which is their box and a few pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samref.geometry.frames import upsample_logits
from samref.geometry.resize import grid_to_image, spans
from samref.structures import BoolArray, Candidates, Embedding, FloatArray, IntArray

IouArray = npt.NDArray[np.float64]

# Pixels resampled at once: a strip that stays in the processor's cache.
STRIP = 1 << 20


class MaskCut(NamedTuple):
    """A mask of the image, cut out.

    Attributes:
        rows: of the image that the cut holds.
        columns: of the image that the cut holds.
        mask: bool, what lies there; all else is background.
    """

    rows: slice
    columns: slice
    mask: BoolArray

    def paste(self, target: BoolArray) -> None:
        """Writes the mask over an H x W array."""
        target[:] = False
        target[self.rows, self.columns] = self.mask


def cut_mask(low_res_logits: Tensor, embedding: Embedding, img_size: int) -> MaskCut:
    """The mask of h x w logits on the logit grid, in image px."""
    if low_res_logits.device.type != "cpu":
        mask = full_logits(low_res_logits, embedding, img_size) > 0
        return MaskCut(slice(None), slice(None), mask)
    logits = low_res_logits.float().numpy()
    positive = logits > 0
    rows, columns = (
        _reached(np.flatnonzero(positive.any(axis=1 - axis)), _axis(embedding, img_size, logits, axis))
        for axis in (0, 1)
    )
    mask = np.empty((rows.stop - rows.start, columns.stop - columns.start), dtype=np.bool_)
    for part, strip in _strips(logits, embedding, img_size, rows, columns):
        np.greater(strip, 0, out=mask[part])
    return MaskCut(rows, columns, mask)


def full_logits(low_res_logits: Tensor, embedding: Embedding, img_size: int) -> FloatArray:
    """The logits of one mask (h x w, logit grid) in image px: H x W float32."""
    if low_res_logits.device.type != "cpu":
        frames = embedding.input_size, embedding.original_size, img_size
        upsampled: FloatArray = upsample_logits(low_res_logits.float()[None, None], *frames)[0, 0].cpu().numpy()
        return upsampled
    height, width = embedding.original_size
    logits = np.empty((height, width), dtype=np.float32)
    whole = slice(0, height), slice(0, width)
    for part, strip in _strips(low_res_logits.float().numpy(), embedding, img_size, *whole):
        logits[part] = strip
    return logits


def candidate_masks(candidates: Candidates, row: int, embedding: Embedding, img_size: int) -> BoolArray:
    """The three candidates of one mask: 3 x H x W bool."""
    masks = np.empty((candidates.multi_logits.shape[1], *embedding.original_size), dtype=np.bool_)
    for mask, logits in zip(masks, candidates.multi_logits[row], strict=True):
        cut_mask(logits, embedding, img_size).paste(mask)
    return masks


def candidate_iou(
    candidates: Candidates, embedding: Embedding, img_size: int, reference: Sequence[BoolArray] | BoolArray
) -> IouArray:
    """IoU of the three candidates of N masks with N reference masks of H x W: N x 3 float64."""
    ious = []
    for row, target in enumerate(reference):
        area = int(np.count_nonzero(target))
        cuts = [cut_mask(logits, embedding, img_size) for logits in candidates.multi_logits[row]]
        ious.append([cut_iou(cut, target, area) for cut in cuts])
    return np.array(ious, dtype=np.float64).reshape(-1, 3)


def cut_iou(cut: MaskCut, reference: BoolArray, area: int) -> float:
    """IoU of a mask with an H x W reference mask of `area` pixels: 1 where both are empty."""
    intersection = int(np.count_nonzero(cut.mask & reference[cut.rows, cut.columns]))
    union = int(np.count_nonzero(cut.mask)) + area - intersection
    return intersection / union if union else 1.0


def pick(candidates: Candidates, chosen: IntArray) -> Tensor:
    """The chosen logits of N masks, N x h x w; -1 chooses the single-mask token."""
    index = torch.as_tensor(chosen + 1, device=candidates.low_res_logits.device)
    return candidates.low_res_logits[torch.arange(len(index), device=index.device), index]


Axis = tuple[int, int, int, int]


def _axis(embedding: Embedding, img_size: int, logits: FloatArray, axis: int) -> Axis:
    return embedding.original_size[axis], embedding.input_size[axis], img_size, logits.shape[axis]


def _reached(cells: IntArray, axis: Axis) -> slice:
    """The image pixels along an axis that see any of some grid entries, and all between them."""
    first, last = spans(*axis)
    if not len(cells):
        return slice(0, 0)
    start, stop = int(np.searchsorted(last, cells[0])), int(np.searchsorted(first, cells[-1], side="right"))
    return slice(start, max(start, stop))


def _strips(
    logits: FloatArray, embedding: Embedding, img_size: int, rows: slice, columns: slice
) -> Iterator[tuple[slice, FloatArray]]:
    """A window of the image's logits, strip by strip: rows within the window, and their values."""
    to_rows, to_columns = (grid_to_image(*_axis(embedding, img_size, logits, axis)) for axis in (0, 1))
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if not (height and width):
        return
    across = np.ascontiguousarray((to_columns[columns] @ np.ascontiguousarray(logits.T)).T)
    step = max(1, STRIP // width)
    for start in range(0, height, step):
        part = slice(start, min(start + step, height))
        yield part, to_rows[rows.start + part.start : rows.start + part.stop] @ across
