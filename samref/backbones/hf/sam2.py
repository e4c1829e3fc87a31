"""SAM 2, SAM 3 and EdgeTAM on single images: stretched frames, three feature maps, one decoder."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from samref.backbones.fast.pyramid_decoder import PyramidMaskDecoder
from samref.backbones.hf.backbone import HfBackbone, HfModel
from samref.backbones.hf.families import EDGETAM, SAM2, SAM3
from samref.backbones.sam_backbone import SamModules


class PyramidEncoder(nn.Module):
    """All of a model that depends on the image alone: it leaves the three maps that the decoder wants."""

    def __init__(self, model: Any) -> None:
        """Takes the modules of a `Sam2Model` or its kin, those that its mask decoder keeps for it included."""
        super().__init__()
        self.vision_encoder = model.vision_encoder
        self.conv_s0, self.conv_s1 = model.mask_decoder.conv_s0, model.mask_decoder.conv_s1
        del model.mask_decoder.conv_s0, model.mask_decoder.conv_s1
        # Added where a video has no earlier frames.
        self.no_memory_embedding = model.no_memory_embedding

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encodes preprocessed images.

        Args:
            pixels: B x 3 x S x S.

        Returns:
            B x C x h x w features, and B x C/8 x 4h x 4w and B x C/4 x 2h x 2w maps.
        """
        # SAM 3's has a fourth, coarser one for its detector.
        largest, larger, features = self.vision_encoder(pixels).fpn_hidden_states[:3]
        return features + self.no_memory_embedding[0, :, :, None, None], self.conv_s0(largest), self.conv_s1(larger)


class HalfProducts(nn.Module):
    """An encoder whose products are in half precision; norms, sums of layers and softmax stay in float32."""

    def __init__(self, encoder: nn.Module, dtype: torch.dtype) -> None:
        """Copies the encoder, and casts once what autocast would cast for every image."""
        super().__init__()
        self.encoder, self.dtype = copy.deepcopy(encoder), dtype
        for module in self.encoder.modules():
            if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
                module.to(dtype)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """As the encoder does."""
        with torch.autocast(pixels.device.type, self.dtype):
            maps: tuple[Tensor, ...] = self.encoder(pixels)
            return maps


class PyramidBackbone(HfBackbone):
    """Shared by the three families; arguments are those of `HfBackbone`."""

    decoder_class = PyramidMaskDecoder

    @staticmethod
    def parts_of(model: Any) -> SamModules:
        """See `HfBackbone.parts_of`."""
        return SamModules(PyramidEncoder(model), model.prompt_encoder, model.mask_decoder)

    @staticmethod
    def rearrange_encoder(image_encoder: Any, dtype: torch.dtype) -> nn.Module:
        """See `SamBackbone.rearrange_encoder`: the package's own attention is fused already."""
        encoder: nn.Module = image_encoder
        return encoder if dtype == torch.float32 else HalfProducts(encoder, dtype)

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See `SamBackbone.encode_pixels`."""
        features, *finer = self._encoder(pixels)
        return features, tuple(finer)

    def embed_nothing(self, count: int) -> Tensor:
        """Two places that hold no point, as in these models' training: a point that is none, and the padding."""
        no_point: Tensor = self.prompt_encoder.not_a_point_embed.weight
        return no_point.expand(count, 2, -1)


class Sam2(HfModel, PyramidBackbone):
    """SAM 2.1 in one of its four sizes."""

    family = SAM2


class Sam3(HfModel, PyramidBackbone):
    """SAM 3's tracker, which is what takes prompts for single objects."""

    family = SAM3


class EdgeTam(HfModel, PyramidBackbone):
    """EdgeTAM, SAM 2 for phones."""

    family = EDGETAM
