"""CRM's features and implicit function against second ones that are written from the official names alone."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.models import resnet50

from samref.refiners.crm import network as crm
from samref.refiners.crm.implicit import centers, project, query
from samref.refiners.crm.network import CrmNetwork
from tests.refiners.by_names import normalized, randomize


@pytest.fixture(scope="module")
def network():
    """With random weights, and statistics that do not leave every normalization doing nothing."""
    torch.manual_seed(0)
    return randomize(CrmNetwork())


def bottleneck(x, state, name, stride, dilation):
    h = F.relu(normalized(F.conv2d(x, state[f"{name}.conv1.weight"]), state, f"{name}.bn1"))
    h = F.conv2d(h, state[f"{name}.conv2.weight"], stride=stride, padding=dilation, dilation=dilation)
    h = F.relu(normalized(h, state, f"{name}.bn2"))
    h = normalized(F.conv2d(h, state[f"{name}.conv3.weight"]), state, f"{name}.bn3")
    if f"{name}.downsample.0.weight" in state:
        x = F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride)
        x = normalized(x, state, f"{name}.downsample.1")
    return F.relu(h + x)


def branch(x, state, name, second):
    x = F.conv2d(x, state[f"aspp_.{name}.atrous_conv.weight"])
    return F.relu(normalized(F.relu(normalized(x, state, f"aspp_.{name}.bn")), state, f"aspp_.{second}"))


def features(x, state):
    x = F.conv2d(x, state["feats.conv1.weight"], stride=2, padding=3)
    first = F.relu(normalized(x, state, "feats.bn1"))
    x = F.max_pool2d(first, 3, stride=2, padding=1)
    for k in range(3):
        x = bottleneck(x, state, f"feats.layer1.{k}", 1, 1)
    second = x
    for k in range(4):
        x = bottleneck(x, state, f"feats.layer2.{k}", 2 if k == 0 else 1, 1)
    for k in range(6):
        x = bottleneck(x, state, f"feats.layer3.{k}", 1, 1 if k == 0 else 2)
    parts = [
        branch(first, state, "aspp1_128", "bn1_128"),
        branch(second, state, "aspp1_256", "bn1_256"),
        branch(x, state, "aspp1_1024", "bn1_1024"),
    ]
    size = first.shape[-2:]
    joined = torch.cat([F.interpolate(p, size=size, mode="bilinear", align_corners=True) for p in parts], 1)
    x = F.conv2d(joined, state["aspp_.last_conv.0.weight"], padding=1)
    return F.relu(normalized(x, state, "aspp_.last_conv.1"))


def ensemble(found, state, size):
    """Each pixel from four features by nearest sampling."""
    height, width = found.shape[-2:]
    own = torch.stack(torch.meshgrid(centers(size[0]), centers(size[1]), indexing="ij"), -1).view(-1, 2)
    cells = torch.stack(torch.meshgrid(centers(height), centers(width), indexing="ij"))[None]
    scale = torch.tensor([height, width])
    pixel = (torch.tensor([2 / size[0], 2 / size[1]]) * scale).expand(len(own), 2)
    values, areas = [], []
    for vy, vx in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        moved = own + torch.tensor([vy / height + 1e-6, vx / width + 1e-6])
        grid = moved.clamp(-1 + 1e-6, 1 - 1e-6).flip(-1)[None, None]
        near, center = (F.grid_sample(x, grid, mode="nearest", align_corners=False)[0, :, 0].T for x in (found, cells))
        relative = (own - center) * scale
        x = torch.cat([near, relative, own, pixel], 1)
        for layer in (0, 2, 4, 6, 8):
            x = F.linear(x, state[f"imnet.layers.{layer}.weight"], state[f"imnet.layers.{layer}.bias"])
            x = x if layer == 8 else F.relu(x)
        values.append(x[:, 0])
        areas.append((relative[:, 0] * relative[:, 1]).abs() + 1e-9)
    total = sum(areas)
    return sum(values[k] * areas[3 - k] / total for k in range(4)).view(size)


def all_features(network, x, tile=None):
    return torch.cat(list(network.features(x, tile)), dim=2)


@pytest.mark.parametrize("size", [(64, 96), (61, 75), (23, 27)])
def test_features_are_what_the_official_names_say(network, size):
    x = torch.randn(1, 4, *size)
    expected = features(x, network.state_dict())
    assert expected.shape == (1, 256, -(-size[0] // 2), -(-size[1] // 2))
    torch.testing.assert_close(all_features(network, x), expected, atol=1e-4 * float(expected.max()), rtol=1e-4)


@pytest.mark.parametrize(
    ("grid", "size"), [((7, 9), (53, 70)), ((20, 31), (40, 61)), ((12, 14), (186, 219)), ((1, 2), (5, 3))]
)
def test_a_pixel_weighs_four_features_by_opposite_areas(network, grid, size):
    torch.manual_seed(1)
    found = torch.randn(1, 256, *grid)
    state = network.state_dict()
    logits = query(project([found[:, :, :3], found[:, :, 3:]], network.imnet.first), network.imnet, size)
    torch.testing.assert_close(logits, ensemble(found, state, size), atol=1e-5, rtol=1e-4)


def test_tiles_and_bands_give_the_features_of_the_whole(network, monkeypatch):
    x = torch.randn(1, 4, 73, 333)
    expected = all_features(network, x)
    close = {"atol": 1e-5 * float(expected.max()), "rtol": 1e-5}
    torch.testing.assert_close(all_features(network, x, 72), expected, **close)
    monkeypatch.setattr(crm, "MARGIN", 56)
    assert not torch.allclose(all_features(network, x, 72), expected, **close)
    monkeypatch.setattr(crm, "BAND", 1000)
    torch.testing.assert_close(all_features(network, x), expected, **close)


def test_the_published_network_has_its_names_and_size():
    with torch.device("meta"):
        state, last = CrmNetwork().state_dict(), resnet50(weights=None).layer4.state_dict()
    parameters = {key: value.numel() for key, value in state.items() if "running_" not in key and "num_" not in key}
    # With the stage that no result depends on: 24.3 million, 93 MB in single precision.
    unused = sum(value.numel() for key, value in last.items() if "running_" not in key and "num_" not in key)
    assert sum(parameters.values()) + unused == 24_265_697
    assert state["feats.conv1.weight"].shape == (64, 4, 7, 7)
    assert state["imnet.layers.0.weight"].shape == (32, 262)
    assert {key.split(".")[0] for key in state} == {"feats", "aspp_", "imnet"}
    assert {key.split(".")[1] for key in state if key.startswith("aspp_")} == {
        *("aspp1_128", "bn1_128", "aspp1_256", "bn1_256", "aspp1_1024", "bn1_1024", "last_conv")
    }
