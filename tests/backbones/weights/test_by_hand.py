"""Checkpoints that a person fetches: whose they are, where they belong, what is said of them."""

import hashlib

import pytest
import torch

from samref.backbones.weights.by_hand import (
    BPR,
    CRM,
    FAMILIES,
    HAND_FETCHED,
    SEGFIX,
    SEGREFINER,
    find_by_hand,
    read_for,
    recognize,
    without_prefix,
)
from samref.cli.main import main
from samref.errors import WeightsError

# Some names of the official checkpoints.
NAMES = {
    "SegRefiner": ["denoise_model.time_embed.weight", "loss_texture.sobel.conv_x.weight"],
    "CRM": ["feats.conv1.weight", "feats.layer4.0.conv1.weight", "aspp_.last_conv.0.weight", "imnet.layers.0.weight"],
    "BPR": ["backbone.conv1.weight", "backbone.conv_mask.weight", "decode_head.conv_seg.weight"],
    "SegFix": ["backbone.conv1.weight", "dir_head.0.weight", "mask_head.0.weight"],
    "CascadePSP": ["feats.conv1.weight", "psp.stages.0.1.weight", "final_28.0.weight"],
    "Segment Anything": [
        "image_encoder.pos_embed",
        "prompt_encoder.no_mask_embed.weight",
        "mask_decoder.iou_token.weight",
    ],
}


def state_of(title):
    return {name: torch.zeros(1) for name in NAMES[title]}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.title)
def test_a_family_is_recognized_by_its_names(family):
    assert recognize(state_of(family.title)) is family
    assert recognize({"conv1.weight": torch.zeros(1)}) is None


@pytest.mark.parametrize("wanted", [SEGREFINER, CRM, BPR, SEGFIX], ids=lambda family: family.title)
@pytest.mark.parametrize("title", NAMES)
def test_a_checkpoint_of_another_family_gets_the_option_that_uses_it(wanted, title, tmp_path):
    torch.save({"state_dict": state_of(title)}, tmp_path / "x.pth")
    if title == wanted.title:
        assert set(read_for(wanted, tmp_path / "x.pth")) == {
            name for name in NAMES[title] if not name.startswith(("loss_texture.", "feats.layer4."))
        }
        return
    (found,) = [family for family in FAMILIES if family.title == title]
    with pytest.raises(WeightsError, match=f"checkpoint of {title}; .* {wanted.option}, .* {found.option}$"):
        read_for(wanted, tmp_path / "x.pth")


def test_what_is_nobodys_checkpoint_is_said(tmp_path):
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"no checkpoint of CRM: it begins with conv1\.weight"):
        read_for(CRM, tmp_path / "x.pth")
    torch.save({}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="it begins with nothing"):
        read_for(CRM, tmp_path / "x.pth")


def test_truncated_and_unsafe_files_are_one_sentence(tmp_path):
    torch.save(state_of("CRM"), tmp_path / "full.pth")
    content = (tmp_path / "full.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[: len(content) // 2])
    torch.save({"state_dict": state_of("CRM"), "hook": print}, tmp_path / "code.pth")
    for name in ("cut.pth", "code.pth"):
        with pytest.raises(WeightsError, match=r"cannot read .* as a checkpoint") as caught:
            read_for(CRM, tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_prefix_goes_only_where_all_names_have_it():
    assert set(without_prefix({"module.a": 1, "module.b": 2})) == {"a", "b"}
    assert set(without_prefix({"module.a": 1, "b": 2})) == {"module.a", "b"}


@pytest.mark.parametrize("name", HAND_FETCHED)
def test_the_command_says_where_a_checkpoint_is_and_belongs(name, cache, capsys):
    entry = HAND_FETCHED[name]
    assert main(["weights", name]) == 0
    said = capsys.readouterr().out
    for part in (entry.address, entry.filename, str(cache), entry.family.option, entry.code_license, entry.credit):
        assert part in said
    assert main(["weights", name, "--verify"]) == 1
    cache.mkdir(parents=True)
    (cache / entry.filename).write_bytes(b"something")
    assert main(["weights", name]) == 0
    assert hashlib.sha256(b"something").hexdigest() in capsys.readouterr().out
    assert main(["weights", name, "--verify"]) == int(entry.sha256 is not None)


def test_what_is_known_of_the_lr_file_is_printed(cache, capsys):
    main(["weights", "segrefiner_lr"])
    said = capsys.readouterr().out
    assert "474,603,251 bytes" in said
    assert "d5806a41a4bff6f1e313d1a9dcf18d11dab28e3a8e1497871a156214cd8fe07a (reported" in said
    main(["weights", "segrefiner_hr"])
    assert "size not published, hash not published" in capsys.readouterr().out


def test_the_list_has_them_with_their_licenses(cache, capsys):
    assert main(["weights", "--list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in HAND_FETCHED)
    assert "CC-BY-NC-4.0" in said


def test_the_users_file_goes_before_the_caches_and_its_hash_is_checked(cache, tmp_path):
    with pytest.raises(WeightsError, match=r"CRM has no weights at .*model_45705; download model_45705 from https://"):
        find_by_hand("crm", None)
    cache.mkdir(parents=True)
    (cache / "model_45705").write_bytes(b"cached")
    (tmp_path / "mine").write_bytes(b"mine")
    assert find_by_hand("crm", None) == cache / "model_45705"
    right = hashlib.sha256(b"mine").hexdigest()
    assert find_by_hand("crm", tmp_path / "mine", right.upper()) == tmp_path / "mine"
    with pytest.raises(WeightsError, match=f"expected {'0' * 64}.*refiner.sha256={right}"):
        find_by_hand("crm", tmp_path / "mine", "0" * 64)
    with pytest.raises(WeightsError, match="nowhere"):
        find_by_hand("crm", tmp_path / "nowhere")
