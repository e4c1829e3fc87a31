"""Half precision in networks that a person has to fetch: results stay near those of single precision."""

import numpy as np
import pytest
import torch

from samref.refiners.bpr import BPR
from samref.refiners.bpr.patches import network_input, patch_windows
from samref.refiners.crm import CRM
from samref.refiners.crm.refiner import mirrored, normalize
from samref.refiners.segfix import SegFix
from samref.refiners.segfix.offsets import normalize as normalize_bgr
from samref.refiners.segfix.offsets import predict
from samref.stopwatch import Stopwatch
from tests.factories import blob, photo, rough
from tests.refiners.networks import SMALL, seeded

SIZE = (70, 90)
IMAGE, MASK = photo(SIZE, 0), rough(blob(SIZE, 0), 0)


def of_crm(precision):
    refiner = CRM(network=seeded(SMALL["crm"]), device="cpu", precision=precision)
    mask = mirrored(torch.from_numpy(MASK)[None, None].float() * 2 - 1)
    return refiner.logits(mirrored(normalize(IMAGE)), mask, 0.5, Stopwatch(refiner.device))


def of_bpr(precision):
    refiner = BPR(network=seeded(SMALL["bpr"]), device="cpu", precision=precision)
    patches = network_input(IMAGE, MASK, patch_windows(MASK, 64, 0.25), 64)
    with refiner.computing():
        return refiner.network(patches)


def of_segfix(precision):
    refiner = SegFix(network=seeded(SMALL["segfix"]), device="cpu", precision=precision)
    with refiner.computing():
        return predict(refiner.network, normalize_bgr(IMAGE), None, 1, 1)[1]


@pytest.mark.parametrize("outputs", [of_crm, of_bpr, of_segfix])
def test_bf16_moves_outputs_by_a_few_percent(outputs):
    with torch.inference_mode():
        single, half = (np.asarray(outputs(precision)) for precision in ("fp32", "bf16"))
    assert half.dtype == np.float32
    assert 0 < np.abs(single - half).max() < 0.05 * np.ptp(single)
