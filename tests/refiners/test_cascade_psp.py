import sys
from types import SimpleNamespace

import numpy as np
import pytest

from samref.errors import ConfigError, WeightsError
from samref.refiners.cascade_psp import CascadePsp, load_network
from samref.structures import EMPTY, FALLBACK, REFINED, Sample
from tests.factories import blob, photo

SIZE = (24, 32)


class Network:
    """Returns given probabilities and keeps its inputs."""

    device = "cpu"

    def __init__(self, *outputs):
        self.outputs, self.calls = list(outputs), []

    def refine(self, image, mask, fast, L):
        self.calls.append((image, mask, fast, L))
        return self.outputs.pop(0)


def sample_of(*masks):
    return Sample(photo(SIZE, 0), np.array(masks), "image", tuple(range(len(masks))))


def test_each_mask_goes_in_as_0_and_255_and_comes_out_cut_at_half():
    output = np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE)
    network, coarse = Network(output), blob(SIZE, 1)
    sample = sample_of(coarse)
    result = CascadePsp(network, fast=True, L=300).refine_sample(sample, keep_logits=True)
    ((image, mask, fast, L),) = network.calls
    assert (image == sample.image).all()
    assert mask.dtype == np.uint8
    assert (mask == coarse * 255).all()
    assert (fast, L) == (True, 300)
    assert (result.masks[0] == (output >= 128)).all()
    assert ((result.logits[0] > 0) == result.masks[0]).all()
    assert np.isfinite(result.logits).all()
    assert result.flags == (REFINED,)
    assert result.timing["decode"] > 0


def test_empty_masks_are_left_out_and_empty_results_fall_back():
    coarse = blob(SIZE, 1)
    network = Network(np.zeros(SIZE, np.uint8))
    result = CascadePsp(network, fast=False, L=900).refine_sample(sample_of(np.zeros_like(coarse), coarse))
    assert result.flags == (EMPTY, FALLBACK)
    assert len(network.calls) == 1
    assert (result.masks[1] == coarse).all()
    assert result.candidate_iou is None


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_refinement", None)
    with pytest.raises(ConfigError, match=r"pip install 'samref\[cascade_psp\]'"):
        load_network("cpu", None)


def test_weights_that_cannot_be_had_are_one_sentence_that_says_what_to_do(monkeypatch, tmp_path):
    def refuse(device, model_folder):
        raise ConnectionError("no route\nto host")

    monkeypatch.setitem(sys.modules, "segmentation_refinement", SimpleNamespace(Refiner=refuse))
    with pytest.raises(WeightsError, match=r"no route to host.*refiner\.network\.model_folder=DIR") as caught:
        load_network("cpu", tmp_path)
    assert "\n" not in str(caught.value)


def test_the_package_gets_the_device_and_the_folder(monkeypatch, tmp_path):
    made = SimpleNamespace(Refiner=lambda **options: SimpleNamespace(**options))
    monkeypatch.setitem(sys.modules, "segmentation_refinement", made)
    network = load_network("cpu", tmp_path)
    assert (network.device, network.model_folder) == ("cpu", str(tmp_path))
    assert load_network("cpu", None).model_folder is None


def test_a_side_below_one_pixel_is_refused():
    with pytest.raises(ConfigError, match=r"refiner\.L is 0"):
        CascadePsp(Network(), fast=False, L=0)
