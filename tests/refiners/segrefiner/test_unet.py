"""The denoising network against a second one that is written from the official names alone."""

import math

import pytest
import torch
from torch.nn import functional as F

from samref.refiners.segrefiner.unet import DenoisingUNet

WIDTH = 32


def group_norm(x, state, name):
    """By means and variances of each of 32 groups."""
    groups = x.reshape(len(x), 32, -1)
    normal = (groups - groups.mean(2, keepdim=True)) / (groups.var(2, keepdim=True, unbiased=False) + 1e-5).sqrt()
    shape = (1, -1, *[1] * (x.dim() - 2))
    return normal.reshape(x.shape) * state[f"{name}.weight"].view(shape) + state[f"{name}.bias"].view(shape)


def conv(x, state, name, **options):
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)


def residual(x, embedding, state, name):
    h = conv(F.silu(group_norm(x, state, f"{name}.in_layers.0")), state, f"{name}.in_layers.2", padding=1)
    h = (
        h
        + F.linear(F.silu(embedding), state[f"{name}.emb_layers.1.weight"], state[f"{name}.emb_layers.1.bias"])[
            ..., None, None
        ]
    )
    h = conv(F.silu(group_norm(h, state, f"{name}.out_layers.0")), state, f"{name}.out_layers.3", padding=1)
    return h + (conv(x, state, f"{name}.skip_connection") if f"{name}.skip_connection.weight" in state else x)


def attention(x, state, name):
    flat = group_norm(x.flatten(2), state, f"{name}.norm")
    qkv = F.conv1d(flat, state[f"{name}.qkv.weight"], state[f"{name}.qkv.bias"])
    head = x.shape[1] // 4
    mixed = []
    for sample in qkv:
        heads = []
        for part in sample.split(3 * head):
            q, k, v = part[:head], part[head : 2 * head], part[2 * head :]
            heads.append(v @ torch.softmax((q / head**0.25).T @ (k / head**0.25), dim=1).T)
        mixed.append(torch.cat(heads))
    out = F.conv1d(torch.stack(mixed), state[f"{name}.proj_out.weight"], state[f"{name}.proj_out.bias"])
    return x + out.reshape(x.shape)


def members(state, name):
    """The places of a block that have parameters, with what marks their kind."""
    kinds = {"in_layers": residual, "qkv": attention}
    places = {}
    for key in state:
        if key.startswith(f"{name}."):
            place, kind = key.removeprefix(f"{name}.").split(".")[:2]
            places.setdefault(int(place), set()).add(kind)
    for place, found in sorted(places.items()):
        yield f"{name}.{place}", next((kinds[kind] for kind in kinds if kind in found), None), found


def block(x, embedding, state, name):
    for path, kind, found in members(state, name):
        if kind is residual:
            x = residual(x, embedding, state, path)
        elif kind is attention:
            x = attention(x, state, path)
        elif "op" in found:
            x = conv(x, state, f"{path}.op", stride=2, padding=1)
        elif "conv" in found:
            x = conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3), state, f"{path}.conv", padding=1)
        else:
            x = conv(x, state, path, padding=1)
    return x


def reference(x, t, state):
    embedding = state["time_embed.weight"][t]
    left = []
    for k in range(18):
        x = block(x, embedding, state, f"input_blocks.{k}")
        left.append(x)
    x = block(x, embedding, state, "middle_block")
    for k in range(18):
        x = block(torch.cat([x, left.pop()], 1), embedding, state, f"output_blocks.{k}")
    return conv(F.silu(group_norm(x, state, "out.0")), state, "out.2", padding=1)


def test_it_computes_what_the_official_names_say():
    torch.manual_seed(0)
    network = DenoisingUNet(WIDTH).eval()
    for parameter in network.parameters():
        # Normalization that does nothing would hide which one is which.
        parameter.data += 0.1 * torch.randn_like(parameter) / math.sqrt(max(parameter.numel() / len(parameter), 1))
    x, t = torch.randn(2, 4, 32, 64), torch.tensor([5, 2])
    with torch.no_grad():
        found, expected = network(x, t), reference(x, t, network.state_dict())
    assert found.shape == (2, 1, 32, 64)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_published_network_has_its_names_and_size():
    with torch.device("meta"):
        state = DenoisingUNet().state_dict()
    assert len(state) == 453
    assert sum(value.numel() for value in state.values()) == 118_604_673
    assert state["time_embed.weight"].shape == (6, 512)
    assert state["input_blocks.13.1.qkv.weight"].shape == (1536, 512, 1)
    assert state["output_blocks.2.2.conv.weight"].shape == (512, 512, 3, 3)
    widths = [state[f"output_blocks.{k}.0.in_layers.0.weight"].numel() for k in range(18)]
    assert widths == [*[1024] * 5, 768, 768, 512, 512, 512, 512, 384, 384, 256, 256, 256, 256, 256]


@pytest.mark.parametrize("t", range(6))
def test_the_time_moves_the_logits(t):
    torch.manual_seed(1)
    network, x = DenoisingUNet(WIDTH).eval(), torch.randn(1, 4, 32, 32)
    with torch.no_grad():
        logits = [network(x, torch.tensor([other])) for other in (t, (t + 1) % 6)]
    assert not torch.equal(*logits)
