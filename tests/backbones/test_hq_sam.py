import pytest
import torch

from samref.backbones.tiny import TinyHqSam
from tests.backbones.prompting import COMBINATIONS, packaged_embeddings, random_image, random_prompts

SIZE = (61, 97)


@pytest.fixture(scope="module")
def tiny():
    return TinyHqSam(device="cpu")


def packaged(model, embedding, prompts, multimask_output):
    """segment-anything-hq's own decoder on the same prompts: the best candidate, or the single mask."""
    pixels = model.preprocess(random_image(SIZE), embedding.input_size)
    features, early = model.image_encoder(pixels)
    sparse, dense = packaged_embeddings(model, embedding, prompts)
    return model.mask_decoder(
        image_embeddings=features,
        image_pe=model.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask_output,
        hq_token_only=False,
        interm_embeddings=early,
    )


@pytest.mark.parametrize("parts", COMBINATIONS)
def test_best_candidate_and_single_mask_are_the_packaged_decoders(tiny, parts):
    embedding = tiny.encode(random_image(SIZE))
    prompts = random_prompts(5, SIZE, tiny.mask_input_size, parts)
    candidates = tiny.decode(embedding, prompts)
    best, best_iou = packaged(tiny, embedding, prompts, multimask_output=True)
    single, single_iou = packaged(tiny, embedding, prompts, multimask_output=False)
    chosen = candidates.multi_iou.argmax(dim=1)
    rows = torch.arange(len(candidates))
    torch.testing.assert_close(candidates.multi_logits[rows, chosen], best[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(candidates.multi_iou[rows, chosen], best_iou[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(candidates.low_res_logits[:, :1], single, atol=1e-5, rtol=0)
    torch.testing.assert_close(candidates.iou_predictions[:, :1], single_iou, atol=1e-5, rtol=0)


def test_the_hq_mask_is_added_to_every_candidate(tiny):
    embedding = tiny.encode(random_image(SIZE))
    prompts = random_prompts(3, SIZE, tiny.mask_input_size)
    hq_alone = TinyHqSam(device="cpu")
    for network in hq_alone.mask_decoder.output_hypernetworks_mlps:
        torch.nn.init.zeros_(network.layers[-1].weight)
        torch.nn.init.zeros_(network.layers[-1].bias)
    sam_alone = TinyHqSam(device="cpu")
    torch.nn.init.zeros_(sam_alone.mask_decoder.hf_mlp.layers[-1].weight)
    torch.nn.init.zeros_(sam_alone.mask_decoder.hf_mlp.layers[-1].bias)
    hq = hq_alone.decode(embedding, prompts).low_res_logits
    sam = sam_alone.decode(embedding, prompts).low_res_logits
    assert torch.equal(hq, hq[:, :1].expand_as(hq))
    assert hq.abs().max() > 0
    torch.testing.assert_close(tiny.decode(embedding, prompts).low_res_logits, sam + hq, atol=1e-5, rtol=0)


def test_no_prompts_give_no_candidates(tiny):
    embedding = tiny.encode(random_image(SIZE))
    candidates = tiny.decode(embedding, random_prompts(0, SIZE, tiny.mask_input_size))
    assert candidates.low_res_logits.shape == (0, 4, *tiny.mask_input_size)
