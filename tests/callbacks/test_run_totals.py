"""The totals of a run: the table of samples in its order, and what processes have counted put together."""

from collections import Counter

from samref.callbacks.run_statistics import RunStatistics
from samref.callbacks.run_totals import RunTotals
from samref.structures import Failure


def image(name, *rows):
    flags = Counter(row.get("flag", "refined") for row in rows)
    rows = [{"image": name, "object": k, **row} for k, row in enumerate(rows)]
    return RunStatistics(rows, [Failure(name, "damaged")], [(str(name), "turned")], 1, flags, Counter(decode=0.5))


def test_rows_are_sorted_as_text_and_columns_stand_as_the_rows_bring_them(tmp_path):
    totals = RunTotals()
    totals.add(image("ü", {"flag": "kept", "score": 0.25}))
    totals.add(image(10, {"flag": "refined", "origin": "a"}, {"flag": "refined", "overlap": 4}))
    totals.add(image(9, {"flag": "refined"}))
    totals.add(image("101", {"flag": "empty", "score": None}))
    totals.table.write(tmp_path / "samples.csv")
    lines = (tmp_path / "samples.csv").read_text(encoding="utf-8").splitlines()
    assert lines == [
        "image,object,flag,origin,overlap,score",
        "10,0,refined,a,,",
        "10,1,refined,,4,",
        "101,0,empty,,,",
        "9,0,refined,,,",
        "ü,0,kept,,,0.25",
    ]


def test_totals_of_processes_are_those_of_one(tmp_path):
    images = [image(k, {"origin": "a", "overlap": k}, {"flag": "kept", "score": k / 4}) for k in range(4)]
    one, first, second = RunTotals(), RunTotals(), RunTotals()
    for k, part in enumerate(images):
        one.add(part)
        (first, second)[k % 2].add(part)
    first.merge(second)
    assert list(one.table) == list(first.table)
    for name in ("images", "flags", "seconds", "origins", "overlapping", "overlap"):
        assert getattr(one, name) == getattr(first, name), name
    assert (one.overlapping, one.overlap, one.images) == (3, 6, 4)
    assert sorted(map(str, one.failures)) == sorted(map(str, first.failures))
    for totals, name in ((one, "one.csv"), (first, "first.csv")):
        totals.table.write(tmp_path / name)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "first.csv").read_bytes()
