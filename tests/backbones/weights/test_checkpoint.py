import pickle

import pytest
import safetensors.torch
import torch
from torch import nn

from samref.backbones.weights.checkpoint import (
    content_sha256,
    file_sha256,
    load_strictly,
    read_state_dict,
)
from samref.errors import WeightsError


def state():
    return {"b": torch.arange(3.0), "a": torch.ones(2, 2), "count": torch.tensor(5)}


def test_both_formats_read_the_same(tmp_path):
    torch.save(state(), tmp_path / "x.pth")
    safetensors.torch.save_file(state(), tmp_path / "x.safetensors")
    for name in ("x.pth", "x.safetensors"):
        read = read_state_dict(tmp_path / name)
        assert {key: value.tolist() for key, value in read.items()} == {
            "a": [[1, 1], [1, 1]],
            "b": [0, 1, 2],
            "count": 5,
        }


def test_file_hash_is_sha256s(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert file_sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_content_hash_knows_values_names_types_and_shapes_but_no_order():
    same = dict(reversed(state().items()))
    assert content_sha256(state()) == content_sha256(same)
    changes = [
        {"b": torch.tensor([0.0, 1.0, 2.5])},
        {"b": torch.arange(3)},
        {"a": torch.ones(4)},
        {"c": torch.zeros(1)},
    ]
    hashes = {content_sha256({**state(), **change}) for change in changes}
    assert len(hashes | {content_sha256(state())}) == 5


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", bytes(1000)])
def test_a_damaged_file_is_one_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"cannot read .*{name}.*download it again"):
        read_state_dict(tmp_path / name)


def test_a_truncated_checkpoint_is_one_sentence(tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"a": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(WeightsError, match="cannot read"):
        read_state_dict(path)


class Attack:
    def __reduce__(self):
        return exec, ("raise SystemExit('code of a checkpoint ran')",)


def test_a_checkpoint_runs_no_code(tmp_path):
    torch.save({"a": Attack()}, tmp_path / "zipped.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Attack(), protocol=2))
    for name in ("zipped.pth", "bare.pth"):
        with pytest.raises(WeightsError, match="cannot read"):
            read_state_dict(tmp_path / name)


def test_a_training_checkpoint_is_no_state_dict(tmp_path):
    torch.save({"model": state(), "epoch": 3}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="holds model, epoch; expected a state dict"):
        read_state_dict(tmp_path / "x.pth")


def small_model():
    model = nn.Module()
    model.image_encoder = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    return model


def test_weights_replace_the_models_on_the_meta_device_too():
    wanted = small_model().state_dict()
    with torch.device("meta"):
        model = small_model()
    load_strictly(model, wanted, "x.pth")
    assert {key: value.tolist() for key, value in model.state_dict().items()} == {
        key: value.tolist() for key, value in wanted.items()
    }


def test_half_precision_weights_become_single():
    half = {
        key: value.half() if value.is_floating_point() else value for key, value in small_model().state_dict().items()
    }
    model = small_model()
    load_strictly(model, half, "x.pth")
    assert model.image_encoder[0].weight.dtype == torch.float32
    assert model.image_encoder[1].num_batches_tracked.dtype == torch.int64


def test_the_unused_classification_head_is_left_out():
    wanted = small_model().state_dict()
    wanted |= {"image_encoder.head.weight": torch.ones(9), "image_encoder.norm_head.bias": torch.ones(9)}
    load_strictly(small_model(), wanted, "x.pth")


def test_missing_unexpected_and_reshaped_keys_are_named():
    wrong = small_model().state_dict()
    del wrong["image_encoder.0.bias"]
    wrong["image_encoder.0.weight"] = torch.ones(5, 2)
    wrong |= {f"blocks.{i}.weight": torch.ones(1) for i in range(6)}
    with pytest.raises(WeightsError) as raised:
        load_strictly(small_model(), wrong, "x.pth for tiny")
    message = str(raised.value)
    assert message.startswith("x.pth for tiny is not a checkpoint of this backbone")
    assert "missing keys: image_encoder.0.bias;" in message
    assert "unexpected keys: blocks.0.weight, blocks.1.weight, blocks.2.weight, blocks.3.weight and 2 more" in message
    assert "other shapes: image_encoder.0.weight (5, 2) instead of (3, 2)" in message


def test_a_failed_load_changes_nothing():
    model = small_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    wrong = {key: value + 1 for key, value in before.items()}
    del wrong["image_encoder.0.bias"]
    with pytest.raises(WeightsError):
        load_strictly(model, wrong, "x.pth")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
