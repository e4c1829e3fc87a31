"""SAM's mask decoder, run through its sub-modules.

The packaged `forward` returns either the single mask or the three candidates, and hides what the IoU head
sees. The refiner wants all four masks at once, and SAMRefiner++ the input of the IoU head's last layer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from samref.structures import Candidates


class DecodedTokens(NamedTuple):
    """What the two-way transformer leaves of N prompts.

    Attributes:
        iou_token: N x C.
        mask_tokens: N x T x C, one token a mask: single, three candidates, and HQ-SAM's where it has one.
        image: N x C x h x w, the image embedding after it has attended to the tokens.
    """

    iou_token: Tensor
    mask_tokens: Tensor
    image: Tensor


def attend(
    mask_decoder: Any,
    features: Tensor,
    image_pe: Tensor,
    sparse_embeddings: Tensor,
    dense_embeddings: Tensor,
    output_tokens: Tensor,
) -> DecodedTokens:
    """Runs the two-way transformer for N prompts of one image.

    Args:
        mask_decoder: SAM's or HQ-SAM's mask decoder.
        features: 1 x C x h x w image embedding.
        image_pe: 1 x C x h x w positional encoding of the embedding grid.
        sparse_embeddings: N x P x C of points and boxes; P may be 0.
        dense_embeddings: N x C x h x w of mask prompts.
        output_tokens: 1 + T x C, the IoU token followed by the mask tokens.
    """
    count = sparse_embeddings.shape[0]
    tokens = torch.cat([output_tokens.expand(count, -1, -1), sparse_embeddings], dim=1)
    prompted = features + dense_embeddings
    attended_tokens, attended_image = mask_decoder.transformer(prompted, image_pe, tokens)
    return DecodedTokens(
        iou_token=attended_tokens[:, 0],
        mask_tokens=attended_tokens[:, 1 : len(output_tokens)],
        image=attended_image.transpose(1, 2).reshape(prompted.shape),
    )


def masks_from_tokens(tokens: Tensor, upscaled: Tensor, hypernetworks: nn.ModuleList) -> Tensor:
    """Low-resolution logits: each token's hypernetwork gives the weights of a sum over `upscaled` channels.

    Args:
        tokens: N x T x C mask tokens.
        upscaled: N x C' x h x w upscaled image embedding, logit grid.
        hypernetworks: T networks, C to C'.

    Returns:
        N x T x h x w logits.
    """
    weights = torch.stack([network(tokens[:, i]) for i, network in enumerate(hypernetworks)], dim=1)
    logits: Tensor = weights @ upscaled.flatten(2)
    return logits.reshape(*logits.shape[:2], *upscaled.shape[-2:])


def predict_iou(iou_head: Any, iou_token: Tensor) -> tuple[Tensor, Tensor]:
    """Runs the IoU head layer by layer, so that its last layer may be replaced by an adapted one.

    Returns:
        The input of the last layer, N x D, and the predicted IoUs, N x 4.
    """
    layers = list(iou_head.layers)
    features = iou_token
    for layer in layers[:-1]:
        features = torch.relu(layer(features))
    return features, layers[-1](features)


def decode_sam(
    mask_decoder: Any,
    features: Tensor,
    image_pe: Tensor,
    sparse_embeddings: Tensor,
    dense_embeddings: Tensor,
) -> Candidates:
    """All four masks of N prompts; arguments as in `attend`."""
    output_tokens = torch.cat([mask_decoder.iou_token.weight, mask_decoder.mask_tokens.weight])
    decoded = attend(mask_decoder, features, image_pe, sparse_embeddings, dense_embeddings, output_tokens)
    upscaled = mask_decoder.output_upscaling(decoded.image)
    logits = masks_from_tokens(decoded.mask_tokens, upscaled, mask_decoder.output_hypernetworks_mlps)
    iou_features, iou_predictions = predict_iou(mask_decoder.iou_prediction_head, decoded.iou_token)
    return Candidates(logits, iou_predictions, iou_features)


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


def decode_hq(
    mask_decoder: Any,
    features: Tensor,
    image_pe: Tensor,
    sparse_embeddings: Tensor,
    dense_embeddings: Tensor,
    fused_features: Tensor,
) -> Candidates:
    """All four masks of N prompts, each with the HQ token's mask added to it; arguments as in `attend`.

    `fused_features` are what `hq_features` made of the image.
    """
    output_tokens = torch.cat(
        [mask_decoder.iou_token.weight, mask_decoder.mask_tokens.weight, mask_decoder.hf_token.weight]
    )
    decoded = attend(mask_decoder, features, image_pe, sparse_embeddings, dense_embeddings, output_tokens)
    upscaled = mask_decoder.output_upscaling(decoded.image)
    sam_logits = masks_from_tokens(decoded.mask_tokens[:, :-1], upscaled, mask_decoder.output_hypernetworks_mlps)
    hq_upscaled = mask_decoder.embedding_maskfeature(upscaled) + fused_features
    hq_logits = masks_from_tokens(decoded.mask_tokens[:, -1:], hq_upscaled, nn.ModuleList([mask_decoder.hf_mlp]))
    iou_features, iou_predictions = predict_iou(mask_decoder.iou_prediction_head, decoded.iou_token)
    return Candidates(sam_logits + hq_logits, iou_predictions, iou_features)
