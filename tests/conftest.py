import gc
import importlib.metadata
import os
from functools import cache

# Tests run on all cores as processes of their own; threads inside each would only fight over the same cores. Set before
# anything imports numpy or torch.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# Files that outlive a power cut are not what is tested, and disks take milliseconds for each.
os.fsync = lambda file: None

# Lightning looks through the metadata of all installed packages whenever a trainer is made, in vain; the suite makes a
# thousand.
importlib.metadata.entry_points = cache(importlib.metadata.entry_points)

import pytest
from hypothesis import settings

# How long an example takes means nothing on a busy machine. The same examples at every run, so that a change is what
# breaks a test; `--hypothesis-profile=random` looks for new ones.
settings.register_profile("samref", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None)
settings.load_profile("samref")


def pytest_collection_finish():
    """What the imports and the collection have made stays: no collection of garbage goes through it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)


@pytest.fixture(scope="session")
def mobile_sam():
    """MobileSAM with its published weights, fetched once into the user's cache."""
    from samref.backbones.open import build_backbone

    return build_backbone("mobile_sam")
