"""Values that lie on the disk until they are read."""

import pytest

from samref.io.spill import Spill


def test_values_come_back_by_number_and_leave_nothing_behind(tmp_path):
    spill = Spill(tmp_path)
    assert not spill
    spill[7] = {"a": [1.5, None]}
    spill[2] = "ü\n"
    assert (spill[7], spill[2]) == ({"a": [1.5, None]}, "ü\n")
    spill[7] = 0
    assert (spill[7], 2 in spill, 3 in spill, 8 in spill, bool(spill)) == (0, True, False, False, True)
    with pytest.raises(KeyError):
        spill[3]
    assert not list(tmp_path.iterdir())
    spill.close()
    assert not spill and 7 not in spill
