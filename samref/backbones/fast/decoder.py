"""SAM's mask decoder for many prompts of one image.

The packaged `forward` returns either the single mask or the three candidates, repeats the image for every prompt, and
hides what the IoU head sees. The refiner wants all four masks at once, and SAMRefiner++ the input of the IoU head's
last layer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from samref.backbones.fast.two_way_transformer import SharedImage, TwoWayTransformer
from samref.backbones.fast.upscaling import Hypernetworks, Upscaling, raster

MASKS = 4
# Memory of one group of masks on an accelerator: cells, their successors and the upscaled parts, all at once.
GROUP_BYTES = 1 << 30
BUFFERS = 12


class Extent(NamedTuple):
    """The upper left part of the embedding grid, in cells, whose masks are wanted.

    Attributes:
        height: rows.
        width: columns.
    """

    height: int
    width: int


class MaskDecoder:
    """A packaged mask decoder with its image side shared between masks; made again when weights change.

    Attributes:
        iou_index: place of the IoU token among the output tokens; those of the masks follow.
    """

    iou_index = 0

    def __init__(self, prompt_encoder: Any, mask_decoder: Any) -> None:
        """Rearranges the weights.

        Args:
            prompt_encoder: `PromptEncoder` of `segment_anything`.
            mask_decoder: `MaskDecoder` of `segment_anything`, or HQ-SAM's.
        """
        *code_layers, to_dense = prompt_encoder.mask_downscaling
        self.encode_masks = nn.Sequential(*code_layers)
        self.grid: tuple[int, int] = tuple(prompt_encoder.image_embedding_size)
        self.no_mask, self.mask_bias = prompt_encoder.no_mask_embed.weight[0], to_dense.bias
        image_pe = prompt_encoder.get_dense_pe()[0].flatten(1)
        self.transformer = TwoWayTransformer(mask_decoder.transformer, image_pe, to_dense.weight.flatten(1))
        self.output_tokens = torch.cat([mask_decoder.iou_token.weight, mask_decoder.mask_tokens.weight])
        self.upscale = Upscaling(mask_decoder.output_upscaling)
        self.hypernetworks = Hypernetworks(mask_decoder.output_hypernetworks_mlps)

    def share(self, features: Tensor, with_masks: bool) -> SharedImage:
        """What all masks of one image share.

        Args:
            features: 1 x C x h x w image embedding.
            with_masks: whether its prompts have a mask part.
        """
        constant = self.mask_bias if with_masks else self.no_mask
        return self.transformer.share(features[0].flatten(1) + constant[:, None])

    def arrange(self, interm: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """`Embedding.interm` as `__call__` wants it, once an image."""
        return interm

    def __call__(
        self, image: SharedImage, sparse: Tensor, mask_input: Tensor | None, interm: tuple[Tensor, ...], extent: Extent
    ) -> tuple[Tensor, Tensor]:
        """Decodes B prompts of one image.

        Args:
            image: what `share` made of the image.
            sparse: B x P x C embedded points and boxes; P may be 0.
            mask_input: B x 1 x 4h x 4w mask prompts, or None.
            interm: intermediate features of the encoder, from `arrange`.
            extent: cells whose logits are wanted.

        Returns:
            IoU tokens, B x C, and logits, B x 4 x 4 h' x 4 w' of the extent.
        """
        codes = None if mask_input is None else self.encode_masks(mask_input).flatten(2)
        prompt_tokens = torch.cat([self.output_tokens.expand(len(sparse), -1, -1), sparse], dim=1)
        tokens, cells = self.transformer(prompt_tokens, image, codes)
        wanted = cells.reshape(len(cells), *self.grid, -1)[:, : extent.height, : extent.width].flatten(1, 2)
        of_masks = tokens[:, self.iou_index + 1 : len(self.output_tokens)]
        return tokens[:, self.iou_index], self._logits(of_masks, wanted, interm, extent)

    def _logits(self, tokens: Tensor, cells: Tensor, interm: tuple[Tensor, ...], extent: Extent) -> Tensor:
        """Logits of B x K x C mask tokens over B x P x C cells: each token's network weighs the upscaled channels."""
        nested = torch.bmm(self.hypernetworks(tokens), self.upscale(cells).transpose(1, 2))
        return raster(nested, extent.width)

    def group_size(self, device: torch.device) -> int:
        """How many masks are decoded together.

        On a processor one mask at a time keeps its cells in the cache; an accelerator wants many.
        """
        if device.type == "cpu":
            return 1
        cells = self.grid[0] * self.grid[1] * self.output_tokens.shape[1]
        return max(1, GROUP_BYTES // (BUFFERS * 4 * cells))


class HqMaskDecoder(MaskDecoder):
    """HQ-SAM's decoder with all candidates in sight; the packaged one returns the best only.

    One more token has its mask added to every candidate. Its channels are SAM's upscaled ones, convolved twice, plus
    features of the image.
    """

    def __init__(self, prompt_encoder: Any, mask_decoder: Any) -> None:
        """See `MaskDecoder`."""
        super().__init__(prompt_encoder, mask_decoder)
        self.output_tokens = torch.cat([self.output_tokens, mask_decoder.hf_token.weight])
        self.hq_network = Hypernetworks([mask_decoder.hf_mlp])
        self.hq_convolution, self.hq_norm, self.hq_activation, self.hq_last = mask_decoder.embedding_maskfeature

    def _logits(self, tokens: Tensor, cells: Tensor, interm: tuple[Tensor, ...], extent: Extent) -> Tensor:
        upscaled = self.upscale(cells)
        sam = raster(torch.bmm(self.hypernetworks(tokens[:, :-1]), upscaled.transpose(1, 2)), extent.width)
        image = raster(upscaled.transpose(1, 2), extent.width)
        return sam + self._hq_logits(self.hq_network(tokens[:, -1:]), image, interm[0][..., : image.shape[-2], :])

    def _hq_logits(self, weights: Tensor, image: Tensor, fused: Tensor) -> Tensor:
        """The HQ token's mask, B x 1 x 4 h' x 4 w'.

        Its weights (B x 1 x C') go into the last convolution: from 64 channels to 1 instead of 32, mask by mask.
        """
        fused = fused[..., : image.shape[-1]]
        last: Any = self.hq_last
        kernels = torch.einsum("bkc,cdyx->bkdyx", weights, last.weight)
        biases = (weights @ last.bias)[..., None, None] + torch.einsum("bkc,chw->bkhw", weights, fused[0])
        hidden = self.hq_activation(self.hq_norm(self.hq_convolution(image)))
        convolved = F.conv2d(hidden.flatten(0, 1)[None], kernels.flatten(0, 1), padding=1, groups=len(hidden))
        logits: Tensor = convolved.transpose(0, 1) + biases
        return logits


def hq_features(mask_decoder: Any, features: Tensor, early_features: Tensor) -> Tensor:
    """HQ-SAM's fused features of one image: they depend on no prompt, so they are made once an image.

    Args:
        mask_decoder: HQ-SAM's mask decoder.
        features: 1 x C x h x w image embedding.
        early_features: 1 x h x w x C'' of an early encoder layer.

    Returns:
        1 x C' x 4h x 4w, logit grid.
    """
    late: Tensor = mask_decoder.embedding_encoder(features)
    early: Tensor = mask_decoder.compress_vit_feat(early_features.permute(0, 3, 1, 2))
    return late + early


def predict_iou(iou_head: Any, iou_token: Tensor) -> tuple[Tensor, Tensor]:
    """Runs the IoU head layer by layer, so that its last layer may be replaced by an adapted one.

    Returns:
        The input of the last layer, N x D, and the predicted IoUs, N x 4.
    """
    features = iou_token
    for layer in list(iou_head.layers)[:-1]:
        features = torch.relu(layer(features))
    return features, iou_of_features(iou_head, features)


def iou_of_features(iou_head: Any, features: Tensor) -> Tensor:
    """The end of the IoU head: its last layer, and the sigmoid that SAM 2 and its kin have behind it.

    Args:
        iou_head: the whole head.
        features: N x D, input of the last layer.

    Returns:
        N x 4 predicted IoUs.
    """
    predictions: Tensor = iou_head.layers[-1](features)
    return predictions.sigmoid() if iou_head.sigmoid_output else predictions
