"""Folders, files and names on the hub; what is wrong with one gets a sentence that names the right option."""

import json
import shutil
from fractions import Fraction

import pytest
import torch
from safetensors.torch import load_file, save_file

from samref.backbones.hf.sam import HfSam, HfSamHq
from samref.backbones.hf.sam2 import Sam2, Sam3
from samref.backbones.tiny import TinyHqSam, TinySam
from samref.backbones.weights import hub
from samref.backbones.weights.checkpoint import file_sha256
from samref.errors import ConfigError, WeightsError
from tests.backbones.prompting import random_image

IMAGE = random_image((61, 97))


@pytest.fixture
def folder(cases, tmp_path):
    """A copy of a model's folder, to be spoilt."""

    def copied(option):
        shutil.copytree(cases(option).folder, tmp_path / option, ignore=shutil.ignore_patterns("four"))
        return tmp_path / option

    return copied


def test_a_file_is_opened_by_the_configuration_beside_it(cases):
    case = cases("sam2_hiera_t")
    by_file = Sam2("sam2_hiera_t", weights=case.folder / "model.safetensors", device="cpu")
    assert by_file.weights_sha256 == case.backbone.weights_sha256 == file_sha256(case.folder / "model.safetensors")
    assert torch.equal(by_file.encode(IMAGE).features, case.backbone.encode(IMAGE).features)


def test_shards_and_pickles_of_tensors_are_read_too(cases, folder):
    path = folder("hf_sam")
    whole = load_file(path / "model.safetensors")
    names = sorted(whole)
    (path / "model.safetensors").unlink()
    save_file({name: whole[name] for name in names[::2]}, path / "model-00001-of-00002.safetensors")
    save_file({name: whole[name] for name in names[1::2]}, path / "model-00002-of-00002.safetensors")
    expected = cases("hf_sam").backbone.encode(IMAGE).features
    shards = HfSam("hf_sam", weights=path, device="cpu")
    assert torch.equal(shards.encode(IMAGE).features, expected)
    assert len(shards.weights_sha256) == 64
    for file in path.glob("*.safetensors"):
        file.unlink()
    torch.save(whole, path / "pytorch_model.bin")
    assert torch.equal(HfSam("hf_sam", weights=path, device="cpu").encode(IMAGE).features, expected)


def test_a_pickle_of_more_than_tensors_is_refused(folder):
    path = folder("hf_sam")
    (path / "model.safetensors").unlink()
    torch.save({"a": Fraction(1, 2)}, path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="holds more than names and tensors"):
        HfSam("hf_sam", weights=path, device="cpu")


def test_a_folder_that_says_how_it_was_trained_is_believed(folder):
    path = folder("hf_sam")
    (path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    backbone = HfSam("hf_sam", weights=path, device="cpu")
    assert backbone.pixel_mean.flatten().tolist() == [127.5] * 3
    assert backbone.pixel_std.flatten().tolist() == [63.75] * 3


@pytest.mark.parametrize(
    "content", ['{"image_mean": [1, 2], "image_std": [1, 2]}', '{"image_mean": "a", "image_std": "b"}', "{"]
)
def test_a_folder_that_says_it_wrongly_is_not(folder, content):
    path = folder("hf_sam")
    (path / "preprocessor_config.json").write_text(content)
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json .*expected"):
        HfSam("hf_sam", weights=path, device="cpu")


def test_a_model_that_is_none_of_sams_is_refused(folder):
    path = folder("hf_sam")
    config = json.loads((path / "config.json").read_text())
    config["vision_config"]["hidden_act"] = "relu"
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="has the activation 'relu'; expected 'gelu'"):
        HfSam("hf_sam", weights=path, device="cpu")


def test_embeddings_of_other_models_frames_and_pixels_are_filed_apart(cases, folder):
    path = folder("hf_sam")
    (path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    backbones = [cases("hf_sam").backbone, HfSam("hf_sam", weights=path, device="cpu"), cases("sam2_hiera_t").backbone]
    assert len({backbone.encoder_id for backbone in backbones}) == 3
    assert "padded" in backbones[0].encoder_id
    assert "stretched" in backbones[2].encoder_id


@pytest.mark.parametrize(
    ("opened", "option", "held", "right"),
    [
        (HfSam, "hf_sam", "hf_sam_hq", "backbone=hf_sam_hq"),
        (HfSamHq, "hf_sam_hq", "sam2_hiera_t", "backbone=sam2_hiera_t, _s, _b_plus or _l"),
        (Sam2, "sam2_hiera_t", "sam3", "backbone=sam3"),
        (Sam3, "sam3", "hf_sam", "backbone=hf_sam"),
        (Sam2, "sam2_hiera_l", "edgetam", "backbone=edgetam"),
    ],
)
def test_a_folder_of_another_family_is_refused_with_its_option(cases, opened, option, held, right):
    with pytest.raises(WeightsError, match=rf"backbone={option} expects .*: use {right}$"):
        opened(option, weights=cases(held).folder, device="cpu")
    with pytest.raises(WeightsError, match=right):
        # Without its configuration, a file is recognized by the names of its tensors.
        opened(option, weights=_alone(cases(held).folder), device="cpu")


def test_another_size_of_sam_2_is_refused_with_its_option(folder):
    path = folder("sam2_hiera_t")
    config = json.loads((path / "config.json").read_text())
    config["vision_config"]["backbone_config"]["blocks_per_stage"] = [2, 6, 36, 4]
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"backbone=sam2_hiera_t expects SAM 2 .*: use backbone=sam2_hiera_l$"):
        Sam2("sam2_hiera_t", weights=path, device="cpu")


@pytest.mark.parametrize(
    ("packaged", "right"), [(TinySam, "vit_b, vit_l, vit_h or mobile_sam"), (TinyHqSam, "hq_vit_tiny, hq_vit_b")]
)
def test_a_checkpoint_of_sams_own_package_is_refused_with_its_option(tmp_path, packaged, right):
    torch.save(packaged(device="cpu").state_dict(), tmp_path / "sam.pth")
    with pytest.raises(WeightsError, match=rf"in the format of its own package; use backbone={right}"):
        HfSam("hf_sam", weights=tmp_path / "sam.pth", device="cpu")


def test_a_checkpoint_of_transformers_is_refused_with_its_option(cases):
    from samref.backbones.sam import Sam

    with pytest.raises(WeightsError, match="is a checkpoint of SAM in the format of transformers; use backbone=hf_sam"):
        Sam("vit_b", weights=cases("hf_sam").folder / "model.safetensors", device="cpu")


def test_what_is_missing_unexpected_or_of_another_shape_is_named(folder):
    path = folder("hf_sam")
    state = load_file(path / "model.safetensors")
    del state["mask_decoder.iou_token.weight"]
    state["mask_decoder.mask_tokens.weight"] = torch.zeros(5, 32)
    state["mask_decoder.more"] = torch.zeros(1)
    save_file(state, path / "model.safetensors")
    with pytest.raises(
        WeightsError, match=r"missing keys: mask_decoder.iou_token.weight.*mask_decoder.more.*mask_tokens"
    ):
        HfSam("hf_sam", weights=path, device="cpu")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: (path / "model.safetensors").write_bytes(b"damaged"), "it is damaged"),
        (lambda path: (path / "model.safetensors").unlink(), r"has no model\*\.safetensors"),
        (lambda path: (path / "config.json").write_text("{"), "cannot be read"),
        (lambda path: (path / "config.json").write_text("[]"), "holds list"),
        (lambda path: (path / "config.json").write_text('{"model_type": "bert"}'), "no option is for it"),
        (lambda path: (path / "config.json").unlink(), "put both into one folder"),
        (lambda path: shutil.rmtree(path), "is no folder and no file, nor a name on the hub"),
    ],
)
def test_a_spoilt_folder_is_one_sentence(folder, spoil, message):
    path = folder("hf_sam")
    spoil(path)
    with pytest.raises(WeightsError, match=message):
        HfSam("hf_sam", weights=path, device="cpu")


def test_the_hash_is_demanded(cases):
    case = cases("hf_sam")
    assert case.open(sha256=case.backbone.weights_sha256.upper()).weights_sha256 == case.backbone.weights_sha256
    with pytest.raises(WeightsError, match=f"has sha256 {case.backbone.weights_sha256}; expected 00"):
        case.open(sha256="00")


def test_a_backbone_without_published_weights_wants_some():
    with pytest.raises(ConfigError, match=r"backbone=hf_sam needs backbone\.weights: a folder, a file or a name"):
        HfSam("hf_sam", device="cpu")


@pytest.fixture
def snapshot(cases, tmp_path, monkeypatch):
    """The hub's client, which finds a model in its cache as it keeps them: links to files that are named by hash."""
    import huggingface_hub

    source, root = cases("hf_sam").folder, tmp_path / "cache"
    (root / "blobs").mkdir(parents=True)
    (root / "snapshot").mkdir()
    for name in ("config.json", "model.safetensors"):
        blob = root / "blobs" / file_sha256(source / name)
        shutil.copy(source / name, blob)
        (root / "snapshot" / name).symlink_to(blob)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, allow_patterns: str(root / "snapshot"))
    return root


def test_a_name_on_the_hub_is_opened_and_compared_with_its_published_hash(snapshot, cases):
    backbone = HfSam("hf_sam", weights="owner/model", device="cpu")
    assert backbone.weights_sha256 == cases("hf_sam").backbone.weights_sha256
    blob = (snapshot / "snapshot" / "model.safetensors").resolve()
    state = load_file(blob)
    state["mask_decoder.iou_token.weight"] += 1
    save_file(state, blob)
    with pytest.raises(WeightsError, match="the hub publishes"):
        HfSam("hf_sam", weights="owner/model", device="cpu")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("GatedRepoError", "is gated: accept its license"),
        ("RepositoryNotFoundError", "no model of this name on the hub"),
        ("LocalEntryNotFoundError", "the hub could not be reached"),
        (None, r"could not be fetched from the hub \(no space left\)"),
    ],
)
def test_what_the_hub_answers_is_one_sentence(monkeypatch, error, message):
    import huggingface_hub
    from huggingface_hub import errors

    def fail(name, allow_patterns):
        if error is None:
            raise OSError("no space left")
        kind = getattr(errors, error)
        raise kind.__new__(kind)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(WeightsError, match=message):
        hub.fetch_from_hub("owner/model")


def _alone(folder):
    """The weights of a folder, in another without configuration."""
    path = folder / "alone" / "model.safetensors"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        shutil.copy(folder / "model.safetensors", path)
    return path
