"""Tiny random models of each family, as `transformers` builds them."""

import torch
import transformers as hf

SIZE, GRID, WIDTH = 128, 8, 32
_PROMPTS = {"hidden_size": WIDTH, "image_size": SIZE, "patch_size": SIZE // GRID}
_DECODER = {"hidden_size": WIDTH, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": WIDTH}
_PYRAMID = {
    "backbone_feature_sizes": [[4 * GRID] * 2, [2 * GRID] * 2, [GRID] * 2],
    "fpn_hidden_size": WIDTH,
}
_VIT = {
    "hidden_size": WIDTH,
    "output_channels": WIDTH,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": SIZE,
    "patch_size": SIZE // GRID,
    "window_size": 3,
    "global_attn_indexes": [1, 2],
    "num_pos_feats": WIDTH // 2,
    "mlp_ratio": 2.0,
}


def sam():
    return hf.SamModel(
        hf.SamConfig(
            vision_config=hf.SamVisionConfig(**_VIT),
            prompt_encoder_config=hf.SamPromptEncoderConfig(**_PROMPTS),
            mask_decoder_config=hf.SamMaskDecoderConfig(**_DECODER),
        )
    )


def sam_hq():
    from transformers.models.sam_hq.configuration_sam_hq import SamHQMaskDecoderConfig, SamHQPromptEncoderConfig

    return hf.SamHQModel(
        hf.SamHQConfig(
            vision_config=hf.SamHQVisionConfig(**_VIT),
            prompt_encoder_config=SamHQPromptEncoderConfig(**_PROMPTS),
            mask_decoder_config=SamHQMaskDecoderConfig(**_DECODER, vit_dim=WIDTH),
        )
    )


def sam2_config():
    hiera = hf.Sam2HieraDetConfig(
        hidden_size=16,
        image_size=[SIZE, SIZE],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[4, 2, 4, 2],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    return hf.Sam2Config(
        vision_config=hf.Sam2VisionConfig(backbone_config=hiera, backbone_channel_list=[128, 64, 32, 16], **_PYRAMID),
        prompt_encoder_config={**_PROMPTS},
        mask_decoder_config={**_DECODER},
    )


def sam2():
    return hf.Sam2Model(sam2_config())


def sam3(levels=3):
    side = 14 * GRID
    vit = hf.Sam3ViTConfig(
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=side,
        patch_size=14,
        window_size=4,
        global_attn_indexes=[1],
        pretrain_image_size=side // 2,
    )
    return hf.Sam3TrackerModel(
        hf.Sam3TrackerConfig(
            vision_config=hf.Sam3VisionConfig(
                backbone_config=vit, scale_factors=[4.0, 2.0, 1.0, 0.5][:levels], **_PYRAMID
            ),
            prompt_encoder_config={**_PROMPTS, "image_size": side, "patch_size": 14},
            mask_decoder_config={**_DECODER},
        )
    )


def edgetam():
    """Its encoder is another small one of timm's, which the wrapper takes alike."""
    timm = hf.TimmWrapperConfig(
        architecture="test_convnext.r160_in1k",
        model_args={"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
        num_labels=2,
    )
    return hf.EdgeTamModel(
        hf.EdgeTamConfig(
            vision_config=hf.EdgeTamVisionConfig(
                backbone_config=timm, backbone_channel_list=[64, 48, 32, 24], **_PYRAMID
            ),
            prompt_encoder_config={**_PROMPTS},
            mask_decoder_config={**_DECODER},
        )
    )


MODELS = {"hf_sam": sam, "hf_sam_hq": sam_hq, "sam2_hiera_t": sam2, "sam3": sam3, "edgetam": edgetam}


def saved_model(option, folder):
    """Saves a random model that an option opens; its folder as text, and the side of its frame."""
    model = random_model("sam2_hiera_t" if option.startswith("sam2") else option)
    model.save_pretrained(folder)
    return str(folder), int(model.prompt_encoder.input_image_size)


def random_model(option, seed=0, **options):
    """A model of the family that an option opens; no parameter is at a start that hides it, such as 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MODELS[option](**options).eval()
        for name, parameter in model.named_parameters():
            if "timm_model" not in name:
                spread = 1 / parameter.shape[1] ** 0.5 if parameter.dim() == 2 else 0.2
                torch.nn.init.normal_(parameter, mean=float("norm" in name and "weight" in name), std=spread)
    return model
