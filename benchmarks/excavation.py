"""Excavating all prompts of an image's masks, against the paper's steps taken plainly."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter

from benchmarks.cases import SIZES
from benchmarks.plain import elastic_box, first_peak, gaussian_mask
from benchmarks.probe import best
from samref.config.compose import build, compose_config
from samref.geometry.frames import resized_size, unpadded_features
from samref.prompts.excavation import Excavator, Frame
from samref.structures import BoolArray, Embedding

IMG_SIZE, GRID = 1024, (256, 256)
SIZE = SIZES["480p"]


def excavation_rows() -> list[dict[str, Any]]:
    """Milliseconds a mask: 1, 10 and 100 blobs of some thousand pixels, and one ragged mask of half the image."""
    input_size = resized_size(SIZE, IMG_SIZE)
    features = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(0))
    embedding = Embedding(features, SIZE, input_size)
    excavator: Excavator = build(compose_config(["prompts=all"]).prompts)
    rows = []
    for name, masks in (("blob", blobs(1)), ("blobs", blobs(10)), ("blobs", blobs(100)), ("half the image", ragged())):
        few = masks[:3]
        plain = best(lambda few=few: [plainly(mask, embedding, excavator) for mask in few])[0] / len(few)
        ours = best(lambda masks=masks: excavator(masks, embedding, Frame(IMG_SIZE, GRID)))[0] / len(masks)
        rows.append(
            {
                "masks": f"{len(masks)} {name}",
                "plain, ms a mask": 1e3 * plain,
                "samref, ms a mask": 1e3 * ours,
                "ratio": plain / ours,
            }
        )
    return rows


def plainly(mask: BoolArray, embedding: Embedding, excavator: Excavator) -> None:
    """All prompts of one mask on full images; see `benchmarks.plain`."""
    point = first_peak(distance_transform_edt(mask))
    distance_transform_edt(~mask)
    elastic_box(mask, unpadded_features(embedding), excavator.box)
    gaussian_mask(mask, point, excavator.mask, embedding.input_size, IMG_SIZE, GRID)


def blobs(count: int) -> BoolArray:
    """N x H x W bool: smooth blobs of some thousand pixels."""
    rng = np.random.default_rng(0)
    masks = np.zeros((count, *SIZE), dtype=bool)
    for mask in masks:
        y, x = (int(rng.integers(60, n - 60)) for n in SIZE)
        mask[y - 50 : y + 50, x - 50 : x + 50] = gaussian_filter(rng.standard_normal((100, 100)), 8) > -0.01
    return masks


def ragged() -> BoolArray:
    """1 x H x W bool: a mask that reaches every border."""
    return (gaussian_filter(np.random.default_rng(1).standard_normal(SIZE), 8) > 0)[None]
