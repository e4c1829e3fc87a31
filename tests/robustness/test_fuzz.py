"""A short fuzz of every loader; `make fuzz` is the long one."""

from tests.robustness.fuzz import fuzz
from tests.robustness.targets import TARGETS


def test_damaged_files_never_cost_more_than_a_sentence():
    findings = [finding for target in TARGETS for finding in fuzz(4 * target.share, seed=7, only=target.name)]
    assert not findings
    assert sum(4 * target.share for target in TARGETS) == 400


def test_an_input_is_the_same_on_every_run(tmp_path):
    from random import Random

    for target in TARGETS[:3]:
        seeds = target.seeds(tmp_path / target.name)
        name = sorted(seeds)[0]
        damaged = [target.mutate(seeds[name], Random(f"3/{k}"), seeds[name]) for k in (0, 1, 0)]
        assert damaged[0] == damaged[2]


def test_a_loader_that_raises_hangs_or_babbles_is_found(monkeypatch):
    from dataclasses import replace

    from samref.errors import InputError
    from tests.robustness import fuzz as fuzzer
    from tests.robustness.targets import tolerant

    class Babble(InputError):
        def __str__(self):
            return "two\nlines"

    def lines():
        raise Babble

    def forever(path):
        while True:
            pass

    monkeypatch.setattr(fuzzer, "SECONDS", 0.2)
    for read, word in (
        (lambda path: path.no_such_thing, "AttributeError"),
        (lambda path: tolerant(lines), "several lines"),
        (forever, "longer than"),
    ):
        monkeypatch.setattr(fuzzer, "TARGETS", (replace(TARGETS[0], read=read),))
        assert word in fuzzer.fuzz(1, seed=0)[0]
