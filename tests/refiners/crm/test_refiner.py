"""What goes in and comes out of CRM, and its four scales against the same in a few lines."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from samref.backbones.weights.by_hand import show_terms
from samref.errors import ConfigError, WeightsError
from samref.refiners.crm import CRM
from samref.refiners.crm.network import CrmNetwork
from samref.refiners.crm.refiner import mirrored
from samref.structures import EMPTY, FALLBACK, KEPT, REFINED
from tests.factories import blob, photo, rough
from tests.refiners.crm.test_network import ensemble, features

SIZE = (50, 70)


@pytest.fixture(scope="module")
def network():
    """Random, with outputs large enough to be sure of something."""
    torch.manual_seed(0)
    made = CrmNetwork()
    made.imnet.layers[8].weight.data *= 20
    return made


@pytest.fixture(scope="module")
def balanced(network):
    """The same with logits around 0 on the image that is refined here."""
    refiner = CRM(network=network, device="cpu")
    found = refiner.refine(photo(SIZE, 0), rough(blob(SIZE, 0), 0), keep_logits=True)
    network.imnet.layers[8].bias.data -= float(np.median(found.logits[0]))
    return refiner


def four_scales(state, image, mask):
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = F.pad((pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1), [32] * 4, mode="reflect")
    current = F.pad(torch.from_numpy(mask)[None, None].float() * 2 - 1, [32] * 4, mode="reflect")
    height, width = pixels.shape[-2:]
    for scale in (0.125, 0.25, 0.5, 1.0):
        size = (round(height * scale), round(width * scale))
        parts = [F.interpolate(x, size=size, mode="bilinear", align_corners=True) for x in (pixels, current)]
        logits = ensemble(features(torch.cat(parts, 1), state), state, (height, width))
        probability = 1 / (1 + torch.exp(-logits))
        current = (probability[None, None] - 0.5) * 2
    return (255 * probability).int()[32:-32, 32:-32].numpy() > 128


def test_four_scales_follow_each_other(balanced, network):
    image, mask = photo(SIZE, 0), rough(blob(SIZE, 0), 0)
    found = balanced.refine(image, mask, keep_logits=True)
    assert found.flags == (REFINED,)
    assert ((found.logits > 0) == found.masks).mean() > 0.999
    assert 0.1 < found.masks.mean() < 0.9
    expected = four_scales(network.state_dict(), image, mask)
    # Rounding is amplified from scale to scale where features are random.
    assert (found.masks[0] != expected).mean() < 0.002
    assert found.timing["encode"] > 0 < found.timing["decode"]


def test_masks_do_not_depend_on_each_other(balanced):
    coarse = np.stack([rough(blob(SIZE, seed), seed) for seed in range(2)])
    together, alone = balanced.refine(photo(SIZE, 0), coarse), balanced.refine(photo(SIZE, 0), coarse[1])
    assert (together.masks[1] == alone.masks[0]).all()


@pytest.mark.parametrize("size", [(60, 60), (10, 40), (1, 50), (33, 20)])
def test_a_side_of_any_length_is_mirrored(size, balanced):
    x = torch.arange(float(size[0] * size[1])).view(1, 1, *size)
    found = mirrored(x)
    assert found.shape[-2:] == (size[0] + 64, size[1] + 64)
    assert torch.equal(found[..., 32:-32, 32:-32], x)
    if min(size) > 32:
        assert torch.equal(found, F.pad(x, [32] * 4, mode="reflect"))
    coarse = np.ones(size, bool)
    coarse[:, ::2] = False
    assert balanced.refine(photo(size, 0), coarse).masks.shape == (1, *size)


def test_few_pixels_and_none_stay(balanced):
    coarse = np.zeros((3, *SIZE), bool)
    coarse[0, 5, :4], coarse[1, 5, :5] = True, True
    found = balanced.refine(photo(SIZE, 0), coarse)
    assert found.flags[0] == KEPT and found.flags[2] == EMPTY
    assert found.flags[1] in (REFINED, FALLBACK)
    assert (found.masks[0] == coarse[0]).all()


class Empty(CrmNetwork):
    """The same logit everywhere."""

    def __init__(self, logit):
        super().__init__()
        self.imnet.layers[8].weight.data.zero_()
        self.imnet.layers[8].bias.data.fill_(logit)


@pytest.mark.parametrize("full", [False, True])
def test_a_lost_mask_leaves_the_coarse_one(full):
    coarse = np.ones((40, 40), bool) if full else blob((40, 40), 0)
    found = CRM(network=Empty(-30.0), device="cpu").refine(photo((40, 40), 0), coarse)
    assert found.flags == (FALLBACK,)
    assert (found.masks[0] == coarse).all()
    full_out = CRM(network=Empty(30.0), device="cpu").refine(photo((40, 40), 0), coarse)
    assert full_out.masks.all()


def test_gray_128_is_background():
    """What the authors write as gray 128 of 255 is not foreground, though its probability is above one half."""
    for gray, expected in ((128.5, False), (129.5, True)):
        logit = float(np.log(gray / 255) - np.log1p(-gray / 255))
        found = CRM(network=Empty(logit), device="cpu").refine(
            photo((40, 40), 0), np.ones((40, 40), bool), keep_logits=True
        )
        assert found.flags == ((REFINED,) if expected else (FALLBACK,))


def test_weights_are_read_as_published_and_their_terms_shown_once(network, tmp_path, capsys):
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save(state | {"module.feats.layer4.0.conv1.weight": torch.zeros(1)}, tmp_path / "model_45705")
    show_terms.cache_clear()
    for _ in range(2):
        loaded = CRM(tmp_path / "model_45705", device="cpu").network
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in loaded.state_dict().items())
    assert capsys.readouterr().err.count("non-commercial") == 1


def test_another_refiners_weights_and_missing_names_are_one_sentence(network, tmp_path):
    torch.save({"denoise_model.x": torch.zeros(1)}, tmp_path / "segrefiner.pth")
    with pytest.raises(WeightsError, match=r"checkpoint of SegRefiner; .* refiner=segrefiner$"):
        CRM(tmp_path / "segrefiner.pth")
    state = network.state_dict()
    torch.save({key: state[key] for key in state if not key.startswith("aspp_.last")}, tmp_path / "less.pth")
    with pytest.raises(WeightsError, match=r"missing keys: aspp_\.last_conv\.0\.weight"):
        CRM(tmp_path / "less.pth")


@pytest.mark.parametrize(
    ("options", "sentence"), [({"tile": 100}, "tile is 100"), ({"precision": "int8"}, "precision is")]
)
def test_options_that_make_no_sense_are_one_sentence(options, sentence, network):
    with pytest.raises(ConfigError, match=sentence):
        CRM(network=network, **options)
