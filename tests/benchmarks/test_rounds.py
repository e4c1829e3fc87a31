import time

import pytest

from benchmarks.results import publish, shown
from benchmarks.rounds import seconds_in_turns


def test_contenders_take_turns_and_the_first_round_does_not_count():
    order, first = [], True

    def slow_at_first():
        nonlocal first
        order.append("a")
        time.sleep(0.2 if first else 0.001)
        first = False

    seconds = seconds_in_turns({"a": slow_at_first, "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert seconds["b"] < seconds["a"] < 0.1


@pytest.mark.parametrize(("value", "expected"), [(1234.5, "1234"), (0.012345, "0.0123"), (None, ""), ("x", "x")])
def test_numbers_are_shown_with_three_digits(value, expected):
    assert shown(value) == expected


def test_files_say_what_was_run(tmp_path, capsys):
    publish("speed", "How fast", "python -m this", [{"who": "me", "s": 1.5}, {"who": "you", "s": None}], tmp_path)
    lines = (tmp_path / "speed.md").read_text().splitlines()
    assert lines[0] == "How fast"
    assert lines[2].endswith("by `python -m this`.")
    assert lines[4:] == ["| who | s |", "| --- | --- |", "| me | 1.5 |", "| you |  |"]
    assert "How fast" in capsys.readouterr().out
