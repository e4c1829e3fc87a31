"""The mask decoder of SAM 2 and its kin: SAM's, with maps of higher resolution added where cells are upscaled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from samref.backbones.fast.decoder import Extent, MaskDecoder
from samref.backbones.fast.upscaling import nest, raster


class PyramidMaskDecoder(MaskDecoder):
    """One more output token, whether the object is there, stands before the others; nothing here needs it."""

    iou_index = 1

    def __init__(self, prompt_encoder: Any, mask_decoder: Any) -> None:
        """See `MaskDecoder`; the mask decoder has an `obj_score_token`, too."""
        super().__init__(prompt_encoder, mask_decoder)
        self.output_tokens = torch.cat([mask_decoder.obj_score_token.weight, self.output_tokens])

    def arrange(self, interm: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """1 x C' x 4h x 4w and 1 x C'' x 2h x 2w maps -> h x w x 16 x C' and h x w x 4 x C''."""
        return nest(interm[0], 2), nest(interm[1], 1)

    def _logits(self, tokens: Tensor, cells: Tensor, interm: tuple[Tensor, ...], extent: Extent) -> Tensor:
        largest, larger = (part[: extent.height, : extent.width].flatten(0, 2) for part in interm)
        nested = torch.bmm(self.hypernetworks(tokens), self.upscale(cells, (largest, larger)).transpose(1, 2))
        return raster(nested, extent.width)
