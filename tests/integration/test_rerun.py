"""A run is known by what went in: whatever happens to its inputs, it ends as one run from nothing does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.rerun import KINDS, STEPS, UNHURRIED, check


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=4, **UNHURRIED)
@given(steps=STEPS, verdict=st.booleans())
def test_any_sequence_of_edits_kills_and_runs_ends_as_one_run_from_nothing(kind, steps, verdict):
    check(kind, steps, verdict)
