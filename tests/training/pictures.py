"""Generated images with shapes whose class is their color: what any network can learn in a few steps."""

import numpy as np
import torch

COLORS = {1: (220, 40, 40), 2: (40, 60, 220)}


def labeled(count=8, size=(48, 64), seed=0):
    """Images (3 x H x W uint8) and label maps (H x W int64) with one rectangle of each class, and an ignored rim."""
    rng = np.random.default_rng(seed)
    images, maps = [], []
    for _ in range(count):
        image = np.full((*size, 3), 120, np.uint8) + rng.integers(0, 20, (*size, 3), dtype=np.uint8)
        labels = np.zeros(size, np.int64)
        half = size[1] // 2
        for label, color in COLORS.items():
            height, width = rng.integers(size[0] // 3, size[0] // 2, 2)
            top = rng.integers(2, size[0] - height - 2)
            left = rng.integers(2, half - width) + (label - 1) * half if half - width > 2 else (label - 1) * half + 1
            image[top : top + height, left : left + width] = color
            labels[top : top + height, left : left + width] = label
            labels[top - 1, left : left + width] = 255
        images.append(torch.from_numpy(image.transpose(2, 0, 1).copy()))
        maps.append(torch.from_numpy(labels))
    return images, maps


def with_instances(count=8, size=(64, 80), seed=0):
    """The same images with their rectangles as instances."""
    images, maps = labeled(count, size, seed)
    targets = []
    for labels in maps:
        masks = torch.stack([(labels == label).to(torch.uint8) for label in COLORS])
        boxes = torch.stack([_box(mask) for mask in masks])
        targets.append({"boxes": boxes, "labels": torch.tensor(list(COLORS)), "masks": masks})
    return images, targets


def _box(mask):
    rows, columns = torch.nonzero(mask, as_tuple=True)
    corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return torch.stack(corners).float()
