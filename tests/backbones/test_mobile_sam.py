import pytest
import torch

from benchmarks.plain import predictor_of
from tests.backbones.prompting import (
    COMBINATIONS,
    packaged_prediction,
    random_image,
    random_prompts,
)

SIZE = (120, 214)

pytestmark = pytest.mark.weights


def test_sizes(mobile_sam):
    assert mobile_sam.img_size == 1024
    assert mobile_sam.embedding_size == (64, 64)
    assert mobile_sam.mask_input_size == (256, 256)
    assert len(mobile_sam.weights_sha256) == 64


@pytest.fixture(scope="module")
def embedding(mobile_sam):
    return mobile_sam.encode(random_image(SIZE))


@pytest.fixture(scope="module")
def predictor(mobile_sam):
    predictor = predictor_of(mobile_sam)
    predictor.set_image(random_image(SIZE))
    return predictor


def test_the_embedding_is_sams_predictors(embedding, predictor):
    # Batch norms folded, sums in another order: features are of the order of 1.
    torch.testing.assert_close(embedding.features, predictor.features, atol=1e-5, rtol=0)


@pytest.mark.parametrize("parts", COMBINATIONS)
def test_masks_are_sams_predictors(mobile_sam, embedding, predictor, parts):
    prompts = random_prompts(2, SIZE, mobile_sam.mask_input_size, parts)
    candidates = mobile_sam.decode(embedding, prompts)
    logits, iou = packaged_prediction(predictor, prompts, multimask_output=True)
    # Logits are in the tens, where single precision resolves 1e-6 of the largest.
    scale = logits.abs().max()
    torch.testing.assert_close(candidates.multi_logits / scale, logits / scale, atol=1e-5, rtol=0)
    torch.testing.assert_close(candidates.multi_iou, iou, atol=1e-5, rtol=0)
