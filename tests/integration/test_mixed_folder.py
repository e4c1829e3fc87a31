"""A mixed folder, killed and resumed; `python -m tests.integration.mixed_folder` is the long version."""

import torch

from tests.integration.mixed_folder import check


def test_a_mixed_folder_that_is_killed_ends_as_if_nothing_had_happened(tmp_path):
    torch.set_num_threads(1)
    assert "byte-identical" in check(tmp_path, images=44, kills=2, seed=0)
