"""SegFix's offsets: from a network's output or from the authors' files, and how they move a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.io
import torch
from torch import Tensor
from torch.nn import functional as F

from samref.errors import InputError
from samref.io.images import printable
from samref.refiners.segfix.network import DIRECTIONS, SegFixNetwork, starts
from samref.refiners.windows import Window, chunks
from samref.structures import BoolArray

# From a boundary pixel towards the inside of its segment: (dy, dx) by direction.
STEPS = np.array([(0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1)], np.int8)
# The statistics of RGB on channels in the order BGR: as the networks were trained.
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)
BOUNDARY = 0.5
VARIABLE = "mat"

Offsets = npt.NDArray[np.integer]


def normalize(image: npt.NDArray[np.uint8]) -> Tensor:
    """1 x 3 x H x W float32, BGR, of an H x W x 3 RGB image."""
    pixels = torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).permute(2, 0, 1)[None].float() / 255
    return (pixels - torch.tensor(PIXEL_MEAN).view(3, 1, 1)) / torch.tensor(PIXEL_STD).view(3, 1, 1)


def windows_of(size: tuple[int, int], window: int | None, stride: int) -> list[Window]:
    """Windows that cover an image.

    Args:
        size: (H, W) of the image.
        window: their side, px; None: one for all of it.
        stride: from one to the next.
    """
    sides = [length if window is None else min(window, length) for length in size]
    return [
        Window(x, y, x + sides[1], y + sides[0])
        for y in starts(size[0], sides[0], stride)
        for x in starts(size[1], sides[1], stride)
    ]


def predict(
    network: SegFixNetwork, image: Tensor, window: int | None, stride: int, chunk_size: int
) -> tuple[Tensor, Tensor]:
    """Boundaries and directions of an image by a network, averaged over windows.

    Args:
        network: on its device.
        image: 1 x 3 x H x W, normalized.
        window: side of the windows, px; None: one for all of it.
        stride: from one window to the next.
        chunk_size: windows in the network at once.

    Returns:
        On the CPU: H x W probabilities of a boundary, and 8 x H x W logits of the directions.
    """
    size = (image.shape[2], image.shape[3])
    boundary, directions, count = torch.zeros(size), torch.zeros(DIRECTIONS, *size), torch.zeros(size)
    device = next(network.parameters()).device
    for chunk in chunks(windows_of(size, window, stride), chunk_size):
        parts = torch.cat([image[:, :, one.y0 : one.y1, one.x0 : one.x1] for one in chunk]).to(device)
        masks, ways = network(parts)
        masks = _resized(masks.float().softmax(dim=1)[:, 1:], parts).cpu()
        ways = _resized(ways.float(), parts).cpu()
        for one, mask, way in zip(chunk, masks, ways, strict=True):
            boundary[one.slices] += mask[0]
            directions[:, one.y0 : one.y1, one.x0 : one.x1] += way
            count[one.slices] += 1
    return boundary / count, directions / count


def offsets_of(boundary: Tensor, directions: Tensor) -> Offsets:
    """H x W x 2 int8 (dy, dx), 0 off the boundary; see `predict`."""
    offsets: Offsets = STEPS[directions.argmax(dim=0).numpy()]
    offsets[(boundary <= BOUNDARY).numpy()] = 0
    return offsets


def read_offsets(path: Path, size: tuple[int, int]) -> Offsets:
    """The offsets of an authors' file: MATLAB, variable `mat`, H x W x 2 (dy, dx).

    Raises:
        InputError: if it is missing, broken, or of another kind or size.
    """
    if not path.is_file():
        raise InputError(f"{printable(path)} is missing; expected there the offsets of an image (refiner.pattern)")
    try:
        offsets = scipy.io.loadmat(str(path)).get(VARIABLE)
    # A broken file fails in as many ways as it has formats.
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{printable(path)} cannot be read as a MATLAB file ({reason})") from error
    if not isinstance(offsets, np.ndarray) or offsets.shape != (*size, 2):
        found = "nothing" if offsets is None else f"shape {np.shape(offsets)}"
        raise InputError(f"{printable(path)} holds {found} as `{VARIABLE}`; expected {(*size, 2)}: (dy, dx) a pixel")
    if offsets.dtype.kind not in "iuf" or not np.array_equal(offsets, np.rint(offsets)):
        raise InputError(f"{printable(path)} holds offsets that are no integers; expected px")
    return offsets.astype(np.int64)


def moved(mask: BoolArray, offsets: Offsets, scale: int) -> BoolArray:
    """A mask in which each pixel has the value of the one that its offset names, so many times as far away.

    >>> moved(np.array([[False, False, True]]), np.array([[[0, 0], [0, 1], [0, 1]]]), 1)
    array([[False,  True,  True]])
    """
    height, width = mask.shape
    y = (np.arange(height)[:, None] + scale * offsets[..., 0].astype(np.int64)).clip(0, height - 1)
    x = (np.arange(width) + scale * offsets[..., 1].astype(np.int64)).clip(0, width - 1)
    found: BoolArray = mask[y, x]
    return found


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)
