import pytest
import torch
from torch.nn import functional as F

from samref.refiners.segfix.network import BACKBONES, HrNet, HrNet2x, SegFixNetwork, with_plain_norms
from tests.refiners import by_names


def head(x, state, name):
    x = F.leaky_relu(by_names.conv_norm(x, state, f"{name}.0", f"{name}.1"), 0.01)
    return F.conv2d(x, state[f"{name}.2.weight"])


def reference(x, state):
    x = F.relu(by_names.conv_norm(x, state, "backbone.conv1", "backbone.bn1", stride=2))
    first = 1
    if "backbone.conv2.weight" in state:
        x = F.relu(by_names.conv_norm(x, state, "backbone.conv2", "backbone.bn2", stride=2))
        x = by_names.residuals(x, state, "backbone.layer1")
        first = 2
    joined = by_names.joined(by_names.stages([x], state, first, align_corners=True), align_corners=True)
    return head(joined, state, "mask_head"), head(joined, state, "dir_head")


@pytest.mark.parametrize(("made", "part"), [(HrNet(4, first=32), 4), (HrNet2x(4, first=16), 2)], ids=BACKBONES)
def test_it_computes_what_the_official_names_say(made, part):
    torch.manual_seed(0)
    network = by_names.randomize(SegFixNetwork(made))
    x = torch.randn(1, 3, 50, 64)
    for found, expected in zip(network(x), reference(x, network.state_dict()), strict=True):
        assert found.shape[-2:] == (-(-50 // part), 64 // part)
        torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "parameters", "channels"), [("hrnet48", 65_697_344, 720), ("hrnet2x20", 47_406_208, 620)]
)
def test_the_published_networks_have_their_names_and_sizes(name, parameters, channels):
    with torch.device("meta"):
        network = SegFixNetwork(BACKBONES[name]())
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network.state_dict()["dir_head.0.weight"].shape == (256, channels, 1, 1)
    assert network.state_dict()["mask_head.2.weight"].shape == (2, 256, 1, 1)


def test_in_place_normalizations_are_read_as_ordinary_ones():
    """Their gain is |weight| + 1e-5, and a leaky rectifier follows in the heads alone."""
    torch.manual_seed(0)
    network = by_names.randomize(SegFixNetwork(HrNet(4, first=32)))
    trained = {key: value for key, value in network.state_dict().items() if "num_batches" not in key}
    for key in [key for key in trained if key.replace("weight", "running_mean") in trained and "weight" in key]:
        trained[key] = trained[key] * torch.randn(len(trained[key])).sign()
    found = with_plain_norms(trained)
    assert found.keys() == network.state_dict().keys()
    gain, raw = found["backbone.bn1.weight"], trained["backbone.bn1.weight"]
    assert (raw < 0).any()
    torch.testing.assert_close(gain, raw.abs() + 1e-5)
    assert torch.equal(found["backbone.conv1.weight"], trained["backbone.conv1.weight"])
    assert found["backbone.bn1.num_batches_tracked"] == 0
