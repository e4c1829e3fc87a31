"""Random images and prompts, and what segment-anything's own predictor makes of them."""

import numpy as np
import torch
from segment_anything.utils.transforms import ResizeLongestSide

from samref.structures import Prompts

COMBINATIONS = (
    ("point",),
    ("box",),
    ("mask",),
    ("point", "box"),
    ("point", "mask"),
    ("box", "mask"),
    ("point", "box", "mask"),
)


def random_image(size, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]])


def random_prompts(count, size, mask_input_size, parts=("point", "box", "mask"), seed=0):
    rng = np.random.default_rng(seed)
    height, width = size
    points = rng.uniform(0, (width, height), (count, 3, 2)).astype(np.float32)
    labels = rng.choice([-1, 0, 1], (count, 3)).astype(np.int64)
    corners = np.sort(rng.uniform(0, (width, height), (count, 2, 2)), axis=1)
    return Prompts(
        points if "point" in parts else None,
        labels if "point" in parts else None,
        corners.reshape(count, 4).astype(np.float32) if "box" in parts else None,
        rng.normal(0, 10, (count, 1, *mask_input_size)).astype(np.float32) if "mask" in parts else None,
    )


def packaged_prediction(predictor, prompts, multimask_output):
    """Low-resolution logits and predicted IoUs of segment-anything's predictor, whose image is set."""
    size = predictor.original_size

    def tensor(array, dtype=torch.float):
        return None if array is None else torch.as_tensor(array, dtype=dtype)

    points = prompts.point_coords
    boxes = prompts.boxes
    _, iou, logits = predictor.predict_torch(
        tensor(None if points is None else predictor.transform.apply_coords(points, size)),
        tensor(prompts.point_labels, torch.int),
        tensor(None if boxes is None else predictor.transform.apply_boxes(boxes, size)),
        tensor(prompts.mask_input),
        multimask_output=multimask_output,
    )
    return logits, iou


def packaged_embeddings(backbone, embedding, prompts):
    """Sparse and dense embeddings of segment-anything's prompt encoder."""
    size = embedding.original_size
    transform = ResizeLongestSide(backbone.img_size)

    def tensor(array, move, dtype=torch.float):
        return None if array is None else torch.as_tensor(move(array, size), dtype=dtype)

    points = tensor(prompts.point_coords, transform.apply_coords)
    return backbone.prompt_encoder(
        points=None if points is None else (points, torch.as_tensor(prompts.point_labels)),
        boxes=tensor(prompts.boxes, transform.apply_boxes),
        masks=tensor(prompts.mask_input, lambda masks, _: masks),
    )
