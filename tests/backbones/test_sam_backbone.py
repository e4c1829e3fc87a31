import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.plain import predictor_of
from samref.backbones.backbone import Backbone
from samref.backbones.tiny import TinySam
from samref.errors import InputError
from samref.structures import Prompts
from tests.backbones.prompting import (
    COMBINATIONS,
    packaged_prediction,
    random_image,
    random_prompts,
)

SIZE = (61, 97)


@pytest.fixture(scope="module")
def tiny():
    return TinySam(device="cpu")


@pytest.fixture(scope="module")
def embedding(tiny):
    return tiny.encode(random_image(SIZE))


def test_it_is_a_backbone(tiny):
    assert isinstance(tiny, Backbone)
    assert (tiny.name, tiny.weights_sha256, tiny.device.type) == ("tiny", "", "cpu")


@pytest.mark.parametrize("img_size", [64, 128])
def test_sizes_are_the_models(img_size):
    model = TinySam(img_size=img_size, device="cpu")
    embedding = model.encode(random_image(SIZE))
    candidates = model.decode(embedding, random_prompts(1, SIZE, model.mask_input_size))
    assert model.img_size == img_size
    assert embedding.features.shape[2:] == model.embedding_size == (img_size // 8, img_size // 8)
    assert candidates.low_res_logits.shape[2:] == model.mask_input_size == (img_size // 2, img_size // 2)


def test_the_seed_decides_the_weights_and_the_callers_random_state_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, again, other = TinySam(device="cpu"), TinySam(device="cpu"), TinySam(seed=1, device="cpu")
    assert torch.equal(torch.rand(1), expected)
    weights = [model.mask_decoder.iou_token.weight for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@settings(max_examples=15, deadline=None)
@given(st.tuples(st.integers(2, 200), st.integers(2, 200)), st.integers(0, 1000))
def test_an_image_is_encoded_as_sams_predictor_does(tiny, size, seed):
    image = random_image(size, seed)
    predictor = predictor_of(tiny)
    predictor.set_image(image)
    embedding = tiny.encode(image)
    torch.testing.assert_close(embedding.features, predictor.features, atol=1e-5, rtol=1e-5)
    assert (embedding.original_size, embedding.input_size) == (predictor.original_size, predictor.input_size)


@pytest.mark.parametrize("parts", COMBINATIONS)
def test_prompts_are_decoded_as_sams_predictor_does(tiny, parts):
    image = random_image(SIZE)
    prompts = random_prompts(4, SIZE, tiny.mask_input_size, parts)
    candidates = tiny.decode(tiny.encode(image), prompts)
    predictor = predictor_of(tiny)
    predictor.set_image(image)
    single, single_iou = packaged_prediction(predictor, prompts, multimask_output=False)
    multi, multi_iou = packaged_prediction(predictor, prompts, multimask_output=True)
    torch.testing.assert_close(candidates.low_res_logits[:, :1], single, atol=1e-5, rtol=0)
    torch.testing.assert_close(candidates.multi_logits, multi, atol=1e-5, rtol=0)
    torch.testing.assert_close(candidates.iou_predictions[:, :1], single_iou, atol=1e-5, rtol=0)
    torch.testing.assert_close(candidates.multi_iou, multi_iou, atol=1e-5, rtol=0)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 5), st.sampled_from(COMBINATIONS), st.integers(0, 1000))
def test_a_batch_is_its_prompts_one_by_one(tiny, embedding, count, parts, seed):
    prompts = random_prompts(count, SIZE, tiny.mask_input_size, parts, seed)
    together = tiny.decode(embedding, prompts)
    for i in range(count):
        alone = tiny.decode(embedding, prompts[i : i + 1])
        torch.testing.assert_close(together.low_res_logits[i], alone.low_res_logits[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together.iou_predictions[i], alone.iou_predictions[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("parts", [(), *COMBINATIONS])
def test_no_prompts_give_no_candidates(tiny, embedding, parts):
    none = random_prompts(0, SIZE, tiny.mask_input_size, parts)
    candidates = tiny.decode(embedding, none)
    assert candidates.low_res_logits.shape == (0, 4, *tiny.mask_input_size)
    assert candidates.iou_predictions.shape == (0, 4)
    assert candidates.iou_features.shape[0] == 0


def test_padding_points_do_not_matter_where_they_lie(tiny, embedding):
    boxes = np.array([[3, 4, 50, 40]], np.float32)
    labels = np.array([[1, -1]])
    near = Prompts(np.array([[[9, 9], [0, 0]]], np.float32), labels, boxes)
    far = Prompts(np.array([[[9, 9], [70, 50]]], np.float32), labels, boxes)
    assert torch.equal(tiny.decode(embedding, near).low_res_logits, tiny.decode(embedding, far).low_res_logits)


def test_iou_features_are_the_input_of_the_last_layer(tiny, embedding):
    candidates = tiny.decode(embedding, random_prompts(2, SIZE, tiny.mask_input_size))
    predictions = tiny.iou_head.layers[-1](candidates.iou_features)
    torch.testing.assert_close(predictions, candidates.iou_predictions, atol=1e-6, rtol=0)
    assert (candidates.iou_features >= 0).all()


def test_a_trainable_last_layer_gets_gradients_and_leaves_the_masks_alone():
    model = TinySam(device="cpu")
    embedding = model.encode(random_image(SIZE))
    prompts = random_prompts(2, SIZE, model.mask_input_size)
    before = model.decode(embedding, prompts)
    adapted = torch.nn.Linear(model.iou_head.layers[-1].in_features, 4)
    model.iou_head.layers[-1] = adapted
    after = model.decode(embedding, prompts)
    after.iou_predictions.sum().backward()
    assert adapted.weight.grad.abs().sum() > 0
    assert [name for name, p in model.named_parameters() if p.grad is not None] == [
        f"mask_decoder.iou_prediction_head.layers.2.{name}" for name in ("weight", "bias")
    ]
    assert torch.equal(before.low_res_logits, after.low_res_logits)
    assert not after.low_res_logits.requires_grad
    assert not torch.equal(before.iou_predictions, after.iou_predictions)


def test_it_stays_frozen(tiny):
    tiny.train()
    assert not any(module.training for module in tiny.modules())
    assert not any(parameter.requires_grad for parameter in tiny.parameters())


def test_it_works_in_inference_mode(tiny, embedding):
    prompts = random_prompts(2, SIZE, tiny.mask_input_size)
    expected = tiny.decode(embedding, prompts)
    with torch.inference_mode():
        again = tiny.decode(tiny.encode(random_image(SIZE)), prompts)
    assert torch.equal(again.low_res_logits, expected.low_res_logits)


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((4, 5), np.uint8), r"\(4, 5\)"),
        (np.zeros((4, 5, 4), np.uint8), r"\(4, 5, 4\)"),
        (np.zeros((0, 5, 3), np.uint8), r"\(0, 5, 3\)"),
        (np.zeros((4, 5, 3), np.float32), "float32"),
        ("photo.jpg", "str"),
    ],
)
def test_a_bad_image_is_named(tiny, image, found):
    with pytest.raises(InputError, match=rf"{found}.*\(H, W, 3\)"):
        tiny.encode(image)


def test_prompts_that_do_not_fit_are_named(tiny, embedding):
    boxes, points = np.zeros((2, 4), np.float32), np.zeros((2, 1, 2), np.float32)
    with pytest.raises(InputError, match=r"mask_input.*\(2, 1, 32, 32\).*\(2, 1, 64, 64\)"):
        tiny.decode(embedding, Prompts(boxes=boxes, mask_input=np.zeros((2, 1, 32, 32), np.float32)))
    with pytest.raises(InputError, match=r"boxes has shape \(1, 4\).*\(2, 4\)"):
        tiny.decode(embedding, Prompts(points, np.ones((2, 1), np.int64), boxes[:1]))
    with pytest.raises(InputError, match="together"):
        tiny.decode(embedding, Prompts(point_coords=points))
    with pytest.raises(InputError, match=r"point_labels has shape \(2, 3\)"):
        tiny.decode(embedding, Prompts(points, np.ones((2, 3), np.int64)))
