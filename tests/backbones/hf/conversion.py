"""Names of SAM's own package -> names of `transformers`, and a state dict of one in the other."""

import re

import torch

# In order; a name goes through all of them.
RENAMED = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"^vision_encoder\.blocks\.", "vision_encoder.layers."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"neck\.0\.", "neck.conv1."),
    (r"neck\.1\.", "neck.layer_norm1."),
    (r"neck\.2\.", "neck.conv2."),
    (r"neck\.3\.", "neck.layer_norm2."),
    (r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", "shared_image_embedding.positional_embedding"),
    (r"point_embeddings\.", "point_embed."),
    (r"mask_downscaling\.0\.", "mask_embed.conv1."),
    (r"mask_downscaling\.1\.", "mask_embed.layer_norm1."),
    (r"mask_downscaling\.3\.", "mask_embed.conv2."),
    (r"mask_downscaling\.4\.", "mask_embed.layer_norm2."),
    (r"mask_downscaling\.6\.", "mask_embed.conv3."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d|hf_mlp)\.layers\.0\.", r"\1.proj_in."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d|hf_mlp)\.layers\.2\.", r"\1.proj_out."),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d|hf_mlp)\.layers\.1\.", r"\1.layers.0."),
    (r"output_upscaling\.0\.", "upscale_conv1."),
    (r"output_upscaling\.1\.", "upscale_layer_norm."),
    (r"output_upscaling\.3\.", "upscale_conv2."),
    (r"\.hf_token\.", ".hq_token."),
    (r"\.hf_mlp\.", ".hq_mask_mlp."),
    *(
        (rf"{theirs}\.{index}\.", f"{ours}_{part}.")
        for theirs, ours in (
            ("compress_vit_feat", "compress_vit"),
            ("embedding_encoder", "encoder"),
            ("embedding_maskfeature", "mask"),
        )
        for index, part in ((0, "conv1"), (1, "norm"), (3, "conv2"))
    ),
)


def to_transformers(state):
    """A state dict of `segment_anything` or `segment_anything_hq` under the names of `transformers`."""
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    renamed["prompt_encoder.shared_embedding.positional_embedding"] = renamed[
        "shared_image_embedding.positional_embedding"
    ]
    return renamed


def random_state(backbone, seed=0):
    """Random numbers in place of a model's parameters, none of them at a start that hides it."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in backbone.named_parameters():
        spread = 1 / parameter.shape[1] ** 0.5 if parameter.dim() == 2 else 0.2
        norm = "norm" in name or re.search(r"(neck|downscaling|upscaling)\.[134]\.", name)
        with torch.no_grad():
            parameter.normal_(
                float(bool(norm) and "weight" in name and parameter.dim() == 1), spread, generator=generator
            )
    return backbone
