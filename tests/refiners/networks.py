"""Small random networks in place of those whose weights a person has to fetch."""

import torch
from torch import nn

from samref.refiners.bpr.network import BprNetwork, architecture
from samref.refiners.crm.network import CHANNELS, Decoder
from samref.refiners.segfix.network import HrNet, SegFixNetwork
from tests.refiners.segrefiner.test_modes import Blurring


class LightCrm(nn.Module):
    """CRM's decoder on the features of one convolution."""

    def __init__(self):
        super().__init__()
        self.conv, self.imnet = nn.Conv2d(4, CHANNELS, 3, stride=2, padding=1), Decoder()

    def features(self, x, tile=None):
        yield self.conv(x)


SMALL = {
    "segrefiner": Blurring,
    "crm": LightCrm,
    "bpr": lambda: BprNetwork(architecture(4, small=True, first=64)),
    "segfix": lambda: SegFixNetwork(HrNet(4, first=64)),
}


def patch_networks(patch):
    """Has each refiner load its small network, the same every time."""
    for name, make in SMALL.items():
        patch.setattr(f"samref.refiners.{name}.refiner.load_network", lambda *_, make=make: seeded(make))


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()
