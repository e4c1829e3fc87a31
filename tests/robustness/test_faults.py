"""A short version of `make faults`; each fault is done to a run, and the run must end as if nothing had happened."""

from random import Random

import pytest

from tests.robustness.faults import SCENARIOS
from tests.robustness.soak import soak
from tests.robustness.undisturbed import make_undisturbed


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_undisturbed(tmp_path_factory.mktemp("faults"), images=8)


@pytest.mark.parametrize("scenario", [scenario for scenario, (_, few) in SCENARIOS.items() if few])
def test_no_fault_does_harm(base, scenario):
    cases = SCENARIOS[scenario][1]
    assert scenario(base, Random(1), cases) >= cases


def test_memory_and_open_files_do_not_grow_with_images():
    assert "200 images" in soak(200)
