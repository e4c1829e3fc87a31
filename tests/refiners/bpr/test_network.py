import pytest
import torch
from torch.nn import functional as F

from samref.refiners.bpr.network import ARCHITECTURES, BprNetwork, architecture
from tests.refiners import by_names


def reference(x, state):
    first = F.conv2d(x[:, :3], state["backbone.conv1.weight"], stride=2, padding=1)
    first = first + F.conv2d(x[:, 3:], state["backbone.conv_mask.weight"], stride=2, padding=1)
    x = F.relu(by_names.normalized(first, state, "backbone.bn1"))
    x = F.relu(by_names.conv_norm(x, state, "backbone.conv2", "backbone.bn2", stride=2))
    x = by_names.residuals(x, state, "backbone.layer1")
    joined = by_names.joined(by_names.stages([x], state, 2, align_corners=False), align_corners=False)
    hidden = F.relu(by_names.conv_norm(joined, state, "decode_head.convs.0.conv", "decode_head.convs.0.bn"))
    return F.conv2d(hidden, state["decode_head.conv_seg.weight"], state["decode_head.conv_seg.bias"])


def test_it_computes_what_the_official_names_say():
    torch.manual_seed(0)
    network = by_names.randomize(BprNetwork(architecture(4, small=True, first=64)))
    x = torch.randn(2, 4, 64, 64)
    quarter = reference(x, network.state_dict())
    assert quarter.shape == (2, 2, 16, 16)
    full = F.interpolate(quarter, size=(64, 64), mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(x), full, atol=1e-5, rtol=1e-4)
    small = F.interpolate(full, size=(24, 24), mode="bilinear", align_corners=False)
    expected = small[:, 1].exp() / small.exp().sum(1)
    torch.testing.assert_close(network.probabilities(x, 24), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "entries", "parameters", "channels", "size"),
    [("hrnet18s", 873, 3_935_278, 270, 128), ("hrnet48", 1839, 65_846_978, 720, 256)],
)
def test_the_published_networks_have_their_names_and_sizes(name, entries, parameters, channels, size):
    with torch.device("meta"):
        network = BprNetwork(ARCHITECTURES[name])
    state = network.state_dict()
    assert len(state) == entries
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert state["decode_head.convs.0.conv.weight"].shape == (channels, channels, 1, 1)
    assert state["backbone.conv_mask.weight"].shape == (64, 1, 3, 3)
    assert network.size == size
