"""From SAM's low-resolution candidates to masks of the image, and their IoUs; one mask in memory at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samref.geometry import upsample_logits
from samref.structures import BoolArray, Candidates, Embedding, IntArray

IouArray = npt.NDArray[np.float64]


def full_logits(low_res_logits: Tensor, embedding: Embedding, img_size: int) -> Tensor:
    """K x h x w logits of one mask on the logit grid, as K x H x W in image px."""
    return upsample_logits(low_res_logits[None], embedding.input_size, embedding.original_size, img_size)[0]


def candidate_masks(candidates: Candidates, row: int, embedding: Embedding, img_size: int) -> BoolArray:
    """The three candidates of one mask: 3 x H x W bool."""
    masks: BoolArray = (full_logits(candidates.multi_logits[row], embedding, img_size) > 0).cpu().numpy()
    return masks


def candidate_iou(candidates: Candidates, embedding: Embedding, img_size: int, reference: BoolArray) -> IouArray:
    """IoU of the three candidates of N masks with N x H x W reference masks: N x 3 float64."""
    ious = [
        mask_ious(candidate_masks(candidates, row, embedding, img_size), target) for row, target in enumerate(reference)
    ]
    return np.array(ious, dtype=np.float64).reshape(-1, 3)


def mask_ious(masks: BoolArray, reference: BoolArray) -> IouArray:
    """IoU of K masks (K x H x W) with one reference mask (H x W): K float64, 1 where both are empty."""
    intersections = np.array([np.count_nonzero(mask & reference) for mask in masks], dtype=np.float64)
    areas = np.array([np.count_nonzero(mask) for mask in masks], dtype=np.float64)
    unions = areas + np.count_nonzero(reference) - intersections
    ious: IouArray = np.divide(intersections, unions, out=np.ones_like(unions), where=unions > 0)
    return ious


def pick(candidates: Candidates, chosen: IntArray) -> Tensor:
    """The chosen logits of N masks, N x h x w; -1 chooses the single-mask token."""
    index = torch.as_tensor(chosen + 1, device=candidates.low_res_logits.device)
    return candidates.low_res_logits[torch.arange(len(index), device=index.device), index]
