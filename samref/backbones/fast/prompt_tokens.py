"""Points and boxes as tokens, without waiting for an accelerator.

The packaged prompt encoder picks points by their labels: how many there are decides the shapes that follow, so a
processor waits for the accelerator five times an image. Here every place is looked up in a table by its label.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

NO_POINT = -1


def prompt_tokens(
    prompt_encoder: Any, point_coords: Tensor | None, point_labels: Tensor | None, boxes: Tensor | None, count: int
) -> Tensor:
    """The sparse part of a packaged prompt encoder, bit for bit.

    As in SAM, points without boxes get one more place, which holds no point.

    Args:
        prompt_encoder: `PromptEncoder` of `segment_anything`.
        point_coords: N x P x 2 float32 (x, y), model px, or None.
        point_labels: N x P int64, see `Prompts.point_labels`; None without points.
        boxes: N x 4 float32 (x0, y0, x1, y1), model px, or None.
        count: N.

    Returns:
        N x T x C tokens: P (or P + 1) of points, then 2 of boxes; T is 0 where there are neither.
    """

    def encoded(coords: Tensor) -> Tensor:
        found: Tensor = prompt_encoder.pe_layer.forward_with_coords(coords, prompt_encoder.input_image_size)
        return found

    background, foreground, *corners = (each.weight for each in prompt_encoder.point_embeddings)
    # By label + 1: no point, background, foreground.
    by_label = torch.cat([prompt_encoder.not_a_point_embed.weight, background, foreground])
    parts = []
    if point_coords is not None and point_labels is not None:
        places = 0 if boxes is not None else 1
        coords = F.pad(point_coords + 0.5, (0, 0, 0, places))
        labels = F.pad(point_labels, (0, places), value=NO_POINT)
        holds = (labels != NO_POINT)[..., None]
        parts.append(torch.where(holds, encoded(coords), 0.0) + F.embedding(labels + 1, by_label))
    if boxes is not None:
        parts.append(encoded((boxes + 0.5).reshape(-1, 2, 2)) + torch.cat(corners))
    return torch.cat(parts, dim=1) if parts else by_label.new_zeros(count, 0, by_label.shape[1])
