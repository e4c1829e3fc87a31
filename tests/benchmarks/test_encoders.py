import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from benchmarks import encoders
from benchmarks.encoders import ONNX, PACKAGED, compare
from samref.backbones.tiny import TinySam


@pytest.fixture
def shifted():
    """A tiny encoder, pixels, and an "export" of it that is off by 0.25 everywhere."""
    encoder = TinySam(device="cpu").image_encoder
    pixels = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = encoder(pixels).numpy() + np.float32(0.25)
    constant = helper.make_tensor("value", TensorProto.FLOAT, features.shape, features.ravel())
    nodes = [
        helper.make_node("Constant", [], ["features"], value=constant),
        helper.make_node("ReduceMin", ["input"], ["least"], keepdims=0),
        helper.make_node("Sub", ["least", "least"], ["nothing"]),
        helper.make_node("Add", ["features", "nothing"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 128, 128])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, features.shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return encoder, model.SerializeToString(), pixels


def test_all_contenders_are_timed_and_compared_with_onnxruntime(shifted):
    threads = torch.get_num_threads()
    rows = {row["encoder"]: row for row in compare(*shifted, threads=1, rounds=1)}
    assert torch.get_num_threads() == threads
    assert list(rows) == [PACKAGED, ONNX, "samref", "samref, bf16"]
    assert all(row["seconds"] > 0 for row in rows.values())
    assert rows[ONNX]["error"] == 0
    assert rows["samref"]["error"] == pytest.approx(0.25, abs=1e-4)
    assert rows[ONNX]["times as fast as onnxruntime"] == rows[PACKAGED]["times as fast as the packaged module"] == 1
    ours = rows["samref"]
    assert ours["times as fast as the packaged module"] == pytest.approx(rows[PACKAGED]["seconds"] / ours["seconds"])


def test_the_command_leaves_a_table(shifted, monkeypatch, tmp_path):
    onnx = shifted[1]
    backbone = TinySam(device="cpu")
    monkeypatch.setattr(encoders, "build_backbone", lambda name: backbone)
    monkeypatch.setattr(encoders, "fetch_files", lambda package: {package.encoder: onnx})
    encoders.main(["--threads", "1", "--rounds", "1", "--out", str(tmp_path)])
    table = (tmp_path / "encoders.md").read_text()
    assert "`python -m benchmarks.encoders --threads 1 --rounds 1" in table
    assert table.count("| 1 | samref") == 2
