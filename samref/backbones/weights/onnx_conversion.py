"""From the two ONNX files of an exported MobileSAM to its state dict.

The exporter kept the names of some initializers, made others anonymous (`onnx::Conv_2293`) and folded a few
tensors. Each anonymous one is named after the one node that reads it, since node names carry the module's
path: `/layers.0/blocks.0/conv1/c/Conv` reads what was `layers.0.blocks.0.conv1` before its batch norm was
folded in.
"""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper

from samref.backbones.weights.checkpoint import StateDict
from samref.errors import WeightsError

Array = npt.NDArray[np.generic]

# First component of a module's path -> the part of the model it belongs to.
DECODER_PARTS = {
    "mask_downscaling": "prompt_encoder",
    "transformer": "mask_decoder",
    "output_upscaling": "mask_decoder",
}
BATCH_NORM_EPS = 1e-5


def convert(encoder: bytes, decoder: bytes) -> StateDict:
    """The state dict, in the official layout, of an exported MobileSAM.

    Args:
        encoder: ONNX file of the image encoder.
        decoder: ONNX file of the prompt encoder and mask decoder.

    Raises:
        WeightsError: when the files hold a graph this conversion does not know.
    """
    arrays = {f"image_encoder.{name}": array for name, array in _encoder_arrays(encoder).items()}
    arrays.update(_decoder_arrays(decoder))
    return {name: torch.from_numpy(np.array(array, order="C")) for name, array in arrays.items()}


def _encoder_arrays(model: bytes) -> dict[str, Array]:
    graph = onnx.load_model_from_string(model).graph
    anonymous, arrays = _initializers(graph)
    for node in graph.node:
        path = _module_path(node.name)
        if node.op_type == "Constant":
            value = numpy_helper.to_array(node.attribute[0].t)
            if path.endswith(".attn") and value.ndim == 3:
                arrays[f"{path}.attention_biases"] = _attention_biases(value)
            continue
        own = [anonymous.pop(name) for name in node.input if name in anonymous]
        if not own:
            continue
        if node.op_type == "Conv":
            arrays.update(_unfolded_batch_norm(path.removesuffix(".c"), *own))
        else:
            arrays.update(_parameter(node.op_type, path, *own))
    _demand_all_used(anonymous)
    return arrays


def _decoder_arrays(model: bytes) -> dict[str, Array]:
    graph = onnx.load_model_from_string(model).graph
    anonymous, named = _initializers(graph)
    arrays = {name.removeprefix("model."): array for name, array in named.items()}
    for node in graph.node:
        own = [anonymous.pop(name) for name in node.input if name in anonymous]
        if not own:
            continue
        path = _module_path(node.name)
        if node.op_type == "Expand":
            tokens = own[0][0]
            arrays["mask_decoder.iou_token.weight"] = tokens[:1]
            arrays["mask_decoder.mask_tokens.weight"] = tokens[1:]
        elif not path:
            arrays["prompt_encoder.no_mask_embed.weight"] = own[0].reshape(1, -1)
        else:
            part = DECODER_PARTS.get(path.split(".")[0])
            if part is None:
                raise WeightsError(f"the ONNX node {node.name} belongs to no known part of a mask decoder")
            arrays.update(_parameter(node.op_type, f"{part}.{path}", *own))
    _demand_all_used(anonymous)
    return arrays


def _initializers(graph: onnx.GraphProto) -> tuple[dict[str, Array], dict[str, Array]]:
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    anonymous = {name: array for name, array in arrays.items() if name.startswith("onnx::")}
    named = {name: array for name, array in arrays.items() if name not in anonymous}
    return anonymous, named


def _module_path(node_name: str) -> str:
    """`/patch_embed/seq/seq.0/c/Conv` -> `patch_embed.seq.0.c`: a sequence's own name comes twice."""
    parts = node_name.strip("/").split("/")[:-1]
    return ".".join(
        part for part, after in zip_longest(parts, parts[1:], fillvalue="") if not after.startswith(f"{part}.")
    )


def _parameter(op_type: str, path: str, array: Array) -> dict[str, Array]:
    if op_type == "MatMul":
        return {f"{path}.weight": array.T}
    if op_type in ("Mul", "Add"):  # the scale and shift of a LayerNorm2d, shaped C x 1 x 1
        return {f"{path}.{'weight' if op_type == 'Mul' else 'bias'}": array.reshape(-1)}
    raise WeightsError(f"the ONNX node {path} is a {op_type}; expected MatMul, Mul or Add")


def _unfolded_batch_norm(path: str, weight: Array, bias: Array) -> dict[str, Array]:
    """A batch norm that only adds the bias: its variance and epsilon sum to 1."""
    channels = len(bias)
    return {
        f"{path}.c.weight": weight,
        f"{path}.bn.weight": np.ones(channels, np.float32),
        f"{path}.bn.bias": bias,
        f"{path}.bn.running_mean": np.zeros(channels, np.float32),
        f"{path}.bn.running_var": np.full(channels, 1 - BATCH_NORM_EPS, np.float32),
        f"{path}.bn.num_batches_tracked": np.array(0, np.int64),
    }


def _attention_biases(expanded: Array) -> Array:
    """TinyViT's biases, heads x offsets, from the exported table, heads x N x N.

    An entry of the table is the bias of the absolute offset between two positions of the window. Offsets are
    numbered as they first occur, and seen from the first position every one occurs once, in order.
    """
    return expanded[:, 0]


def _demand_all_used(anonymous: dict[str, Array]) -> None:
    if anonymous:
        raise WeightsError(f"the ONNX file holds tensors no known node reads: {', '.join(anonymous)}")
