"""Image frame <-> model frame <-> logit grid: the only place that knows how the models' frames relate.

A frame is an (h, w) size. The model frame is a square, `img_size` a side, and masks are on a grid that covers it. There
are two ways into it. *Padded* (SAM, HQ-SAM, MobileSAM): the image is resized so that its longest side is `img_size`,
and padded at right and bottom. *Stretched* (SAM 2, SAM 3, EdgeTAM): it is resized to the square itself, so that each
axis has a scale of its own. All that follows needs the resized size alone, and knows no third case.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional as F

from samref.errors import InputError
from samref.structures import Embedding, FloatArray


def resized_size(original_size: tuple[int, int], img_size: int, stretched: bool = False) -> tuple[int, int]:
    """The size (H', W') of an image in the model frame, before padding.

    Sides are rounded half up, as SAM does; a side never vanishes, however thin the image.

    Args:
        original_size: (H, W) of the image.
        img_size: side of the model frame.
        stretched: whether the image fills the frame, rather than keep its proportions.
    """
    if stretched:
        return img_size, img_size
    height, width = original_size
    scale = img_size * 1.0 / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def scale_coords(
    coords: npt.NDArray[np.floating] | npt.NDArray[np.integer],
    original_size: tuple[int, int],
    input_size: tuple[int, int],
) -> FloatArray:
    """Points or boxes in image px, moved to model px; each axis has its own factor.

    Args:
        coords: ... x 2 points (x, y) or ... x 4 boxes (x0, y0, x1, y1), pixel indices in image px.
        original_size: (H, W) of the image.
        input_size: (H', W') of the resized image.

    Returns:
        Array of the same shape, float32, model px. The half pixel is left to SAM's prompt encoder.

    Raises:
        InputError: when the last axis holds neither points nor boxes.
    """
    if coords.shape[-1] not in (2, 4):
        raise InputError(f"coordinates have shape {coords.shape}; expected (..., 2) for points or (..., 4) for boxes")
    factors = [input_size[1] / original_size[1], input_size[0] / original_size[0]]
    scaled: FloatArray = (coords * np.tile(factors, coords.shape[-1] // 2)).astype(np.float32)
    return scaled


def upsample_logits(
    low_res_logits: Tensor,
    input_size: tuple[int, int],
    original_size: tuple[int, int],
    img_size: int,
) -> Tensor:
    """Logits on the logit grid, resampled to image px in SAM's two bilinear steps.

    First to the full model frame, whose padding, if any, is then cut off, then to the image.

    Args:
        low_res_logits: N x K x h x w, logit grid.
        input_size: (H', W') of the resized image inside the model frame.
        original_size: (H, W) of the image.
        img_size: side of the model frame.

    Returns:
        N x K x H x W logits, image px.
    """
    if low_res_logits.numel() == 0:
        return low_res_logits.new_zeros((*low_res_logits.shape[:2], *original_size))
    model_frame = F.interpolate(low_res_logits, (img_size, img_size), mode="bilinear", align_corners=False)
    unpadded = model_frame[..., : input_size[0], : input_size[1]]
    return F.interpolate(unpadded, original_size, mode="bilinear", align_corners=False)


def unpadded_features(embedding: Embedding) -> FloatArray:
    """The embedding cropped to the part that lies under the image: C x h' x w' float32.

    The crop is the nearest number of cells, at least one; all of them where the image fills the frame.
    """
    grid = embedding.features.shape[-2:]
    longest = max(embedding.input_size)
    height, width = (
        min(size, max(1, int(length * size / longest + 0.5)))
        for size, length in zip(grid, embedding.input_size, strict=True)
    )
    features: FloatArray = embedding.features[0, :, :height, :width].float().cpu().numpy()
    return features
