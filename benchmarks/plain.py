"""The paper's steps taken plainly: full images, one mask at a time, all three candidates at full size.

This is what samref is compared with, in speed and, pixel for pixel, in its results. Nothing here is clever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt
from segment_anything import SamPredictor
from segment_anything.modeling import MaskDecoder, Sam, TwoWayTransformer
from torch import nn
from torch.nn import functional as F

from samref.backbones.sam_backbone import SamBackbone
from samref.geometry.frames import unpadded_features
from samref.prompts.boxes import BoxPrompt
from samref.prompts.excavation import Excavator
from samref.prompts.gaussian import GaussianPrompt
from samref.structures import BoolArray, Embedding, FloatArray

Box = tuple[int, int, int, int]


class PlainRefiner:
    """One round of SAMRefiner with distance-guided points, CEBox and the Gaussian of Eq. 3, by predicted IoU."""

    def __init__(self, backbone: SamBackbone, prompts: Excavator) -> None:
        """Puts segment-anything's own predictor on a backbone's weights.

        Args:
            backbone: a plain SAM or MobileSAM.
            prompts: whose parameters are used; all three kinds of prompts are mined.
        """
        self.backbone, self.prompts = backbone, prompts
        self.predictor = predictor_of(backbone)

    def excavate(self, mask: BoolArray, embedding: Embedding) -> tuple[FloatArray, FloatArray, Box, FloatArray]:
        """Points, their labels, box and mask prompt (1 x 1 x h x w) of one mask."""
        inside = distance_transform_edt(mask)
        outside = distance_transform_edt(~mask)
        box = elastic_box(mask, unpadded_features(embedding), self.prompts.box)
        rows, columns = np.nonzero(mask)
        tight = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        away = np.zeros_like(outside)
        away[tight] = outside[tight]
        points, labels = [first_peak(inside)], [1]
        if away.any():
            points.append(first_peak(away))
            labels.append(0)
        grid = self.backbone.mask_input_size
        gaussian = gaussian_mask(mask, points[0], self.prompts.mask, embedding.input_size, self.backbone.img_size, grid)
        return np.array(points, float), np.array(labels), box, gaussian[None, None]

    def refine(self, masks: Sequence[BoolArray], embedding: Embedding) -> tuple[list[BoolArray], list[FloatArray]]:
        """The refined masks (H x W bool) and their logits (H x W float32), one mask after the other."""
        predictor = self.predictor
        predictor.features, predictor.is_image_set = embedding.features, True
        predictor.original_size, predictor.input_size = embedding.original_size, embedding.input_size
        found = []
        for mask in masks:
            points, labels, box, gaussian = self.excavate(mask, embedding)
            logits, iou, _ = predictor.predict_torch(
                torch.as_tensor(predictor.transform.apply_coords(points, mask.shape), dtype=torch.float)[None],
                torch.as_tensor(labels, dtype=torch.int)[None],
                torch.as_tensor(predictor.transform.apply_boxes(np.array([box], float), mask.shape), dtype=torch.float),
                torch.as_tensor(gaussian, dtype=torch.float),
                multimask_output=True,
                return_logits=True,
            )
            found.append(logits[0, int(iou[0].argmax())].numpy())
        return [logits > 0 for logits in found], found


def first_peak(distance: npt.NDArray[Any]) -> tuple[int, int]:
    """(x, y) of the largest distance, the first in row-major order; squared distances are integers."""
    row, column = np.unravel_index(np.rint(distance**2).argmax(), distance.shape)
    return int(column), int(row)


def elastic_box(mask: BoolArray, features: FloatArray, prompt: BoxPrompt, dtype: torch.dtype = torch.float) -> Box:
    """CEBox with the features really resized to the image (C x H x W).

    Args:
        mask: H x W, not empty.
        features: C x h x w of the un-padded part.
        prompt: lambda, strip width, rounds.
        dtype: of the arithmetic.
    """
    similar = cosines(mask, features, dtype) >= prompt.similarity
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    x0, y0, x1, y1 = (int(v) for v in (columns.min(), rows.min(), columns.max(), rows.max()))
    for _ in range(prompt.steps if prompt.elastic else 0):
        dx = min(prompt.max_pixels, max(1, int(prompt.strip * (x1 - x0 + 1))))
        dy = min(prompt.max_pixels, max(1, int(prompt.strip * (y1 - y0 + 1))))
        left, top = max(0, x0 - dx), max(0, y0 - dy)
        right, bottom = min(width - 1, x1 + dx), min(height - 1, y1 + dy)
        strips = {
            "left": similar[y0 : y1 + 1, left:x0],
            "top": similar[top:y0, x0 : x1 + 1],
            "right": similar[y0 : y1 + 1, x1 + 1 : right + 1],
            "bottom": similar[y1 + 1 : bottom + 1, x0 : x1 + 1],
        }
        moves = {side: strip.size > 0 and strip.mean() > prompt.lam for side, strip in strips.items()}
        x0, y0 = (left if moves["left"] else x0), (top if moves["top"] else y0)
        x1, y1 = (right if moves["right"] else x1), (bottom if moves["bottom"] else y1)
        if not any(moves.values()):
            break
    return x0, y0, x1, y1


def cosines(mask: BoolArray, features: FloatArray, dtype: torch.dtype = torch.float) -> FloatArray:
    """H x W cosine similarity of the features, resized to the image, with their mean over the mask."""
    tensor = torch.from_numpy(features)[None].to(dtype)
    grid = features.shape[1:]
    small = F.interpolate(torch.from_numpy(mask)[None, None].to(dtype), grid, mode="nearest")[0, 0]
    if small.sum() == 0:
        x, y = first_peak(distance_transform_edt(mask))
        small[int(y * grid[0] / mask.shape[0]), int(x * grid[1] / mask.shape[1])] = 1
    query = (tensor[0] * small).sum(dim=(1, 2)) / small.sum()
    whole = F.interpolate(tensor, mask.shape, mode="bilinear", align_corners=False)[0]
    return F.cosine_similarity(query[:, None, None], whole, dim=0).numpy()


def gaussian_mask(
    mask: BoolArray,
    center: tuple[int, int],
    prompt: GaussianPrompt,
    input_size: tuple[int, int],
    img_size: int,
    grid: tuple[int, int],
) -> FloatArray:
    """Eq. 3 on the full image, resized, padded and resized again: h x w float32 on the logit grid."""
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    gaussian = np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (mask.sum() * prompt.gamma)) * mask
    coverage = to_grid(np.where(mask, 1.0, -1.0), -1.0, input_size, img_size, grid)
    weight = to_grid(gaussian, 0.0, input_size, img_size, grid)
    # A cell that is exactly half covered is background, whatever its last bit is.
    sign = np.where(coverage > 1e-9, 1.0, prompt.background)
    return np.asarray(prompt.omega * sign * np.where(weight > 0, weight, 1.0), np.float32)


def to_grid(
    array: npt.NDArray[Any], fill: float, input_size: tuple[int, int], img_size: int, grid: tuple[int, int]
) -> npt.NDArray[Any]:
    """An image-sized map by way of the padded model frame to the logit grid."""
    resized = F.interpolate(torch.from_numpy(array)[None, None], input_size, mode="bilinear", align_corners=False)
    padded = F.pad(resized, (0, img_size - input_size[1], 0, img_size - input_size[0]), value=fill)
    return F.interpolate(padded, grid, mode="bilinear", align_corners=False)[0, 0].numpy()


def predictor_of(backbone: SamBackbone) -> SamPredictor:
    """segment-anything's predictor around a backbone's weights, its mask decoder built by segment-anything."""
    channels, transformer = backbone.mask_decoder.transformer_dim, backbone.mask_decoder.transformer
    decoder = MaskDecoder(
        transformer_dim=channels,
        transformer=TwoWayTransformer(
            depth=transformer.depth,
            embedding_dim=channels,
            mlp_dim=transformer.mlp_dim,
            num_heads=transformer.num_heads,
        ),
        iou_head_hidden_dim=backbone.iou_head.layers[0].out_features,
    )
    decoder.load_state_dict(backbone.mask_decoder.state_dict())
    return SamPredictor(Sam(FeaturesOnly(backbone), backbone.prompt_encoder, decoder).eval())


class FeaturesOnly(nn.Module):
    """An image encoder as segment-anything knows it: features and nothing else."""

    def __init__(self, backbone: SamBackbone) -> None:
        super().__init__()
        self.encoder = backbone.image_encoder
        self.img_size = backbone.img_size

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """B x 3 x S x S to B x C x h x w."""
        outputs = self.encoder(pixels)
        return outputs[0] if isinstance(outputs, tuple) else outputs
