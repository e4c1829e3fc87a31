"""The same weights in the format of SAM's own packages and in that of `transformers`, through both implementations."""

import json

import pytest
import torch
from safetensors.torch import save_file

from samref.backbones.hf.sam import HfSam, HfSamHq
from samref.backbones.tiny import TinyHqSam, TinySam
from tests.backbones.hf.conversion import random_state, to_transformers
from tests.backbones.prompting import COMBINATIONS, random_image, random_prompts

SIZE = (61, 97)
WIDTH = 32


def config(model_type, eps):
    """That of `samref.backbones.tiny`."""
    prompts = {"hidden_size": WIDTH, "image_size": 128, "patch_size": 8}
    decoder = {
        "hidden_size": WIDTH,
        "mlp_dim": 64,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": WIDTH,
        "layer_norm_eps": eps,
    }
    vision = {
        "hidden_size": WIDTH,
        "output_channels": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 128,
        "patch_size": 8,
        "window_size": 4,
        "global_attn_indexes": [1],
        "num_pos_feats": WIDTH // 2,
    }
    hq = {"vit_dim": WIDTH} if model_type == "sam_hq" else {}
    return {
        "model_type": model_type,
        "vision_config": vision,
        "prompt_encoder_config": prompts,
        "mask_decoder_config": {**decoder, **hq},
    }


# `transformers` has 1e-6 in norms of the two-way transformer where SAM's own package has 1e-5.
@pytest.mark.parametrize(("eps", "tolerance"), [(1e-5, 1e-5), (1e-6, 5e-4)])
@pytest.mark.parametrize(
    ("model_type", "packaged", "opened"), [("sam", TinySam, HfSam), ("sam_hq", TinyHqSam, HfSamHq)]
)
def test_converted_weights_give_the_same(tmp_path, model_type, packaged, opened, eps, tolerance):
    ours = random_state(packaged(device="cpu"))
    save_file(
        {name: tensor.clone() for name, tensor in to_transformers(ours.state_dict()).items()},
        tmp_path / "model.safetensors",
    )
    (tmp_path / "config.json").write_text(json.dumps(config(model_type, eps)))
    theirs = opened(f"hf_{model_type}", weights=tmp_path, device="cpu")
    image = random_image(SIZE)
    one, other = ours.encode(image), theirs.encode(image)
    assert one.features.std() > 0.5
    torch.testing.assert_close(other.features, one.features, atol=1e-5, rtol=0)
    torch.testing.assert_close(other.interm, one.interm, atol=1e-5, rtol=0)
    for parts in COMBINATIONS:
        prompts = random_prompts(3, SIZE, ours.mask_input_size, parts)
        expected, found = ours.decode(one, prompts), theirs.decode(other, prompts)
        assert expected.low_res_logits.std() > 0.1
        torch.testing.assert_close(found.low_res_logits, expected.low_res_logits, atol=tolerance, rtol=tolerance)
        torch.testing.assert_close(found.iou_predictions, expected.iou_predictions, atol=tolerance, rtol=tolerance)
