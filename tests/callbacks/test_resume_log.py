import sqlite3
import zlib

import numpy as np
import pytest

from samref.callbacks.announced import FILE as ANNOUNCED
from samref.callbacks.announced import Announced
from samref.callbacks.refinement_json import from_json, to_json
from samref.callbacks.resume import FILE, ResumeLog, SampleResult, Wanted
from samref.callbacks.run_statistics import RunStatistics
from samref.errors import OutputError
from samref.io.atomic import noting_files, write_text
from samref.structures import Failure, Prompts, Refinement


@pytest.fixture
def log(tmp_path):
    opened = ResumeLog(tmp_path)
    yield opened
    opened.close()


def result(*objects, failures=()):
    rows = [{"image": "i", "object": name, "score": 0.1} for name in objects]
    statistics = RunStatistics(rows, [Failure("i", reason) for reason in failures], [("i", "turned")], 1)
    return SampleResult(statistics, {"a": [1]}, ["kept"], {"b": {"words": 2}}, {0: {"gain": 0.5}})


def record(log, image, key="key", names=None, objects=("x",), text="masks", **more):
    with noting_files() as notes:
        write_text(log.folder / f"{image}.txt", text)
    log.record(image, Wanted(key, names), result(*objects, **more).to_bytes(), {"masks": notes})


def test_a_result_comes_back_as_it_was(log):
    record(log, "a")
    record(log, 7, "other")
    assert log.reusable({"a": Wanted("key"), 7: Wanted("other"), "7": Wanted("other")}, ["masks"]) == ["a", 7]
    assert log.result("a", Wanted("key")) == result("x")


def test_what_is_another_image_or_lacks_files_is_not_taken_up(log):
    record(log, "a")
    for key, kinds in (("key", ["masks", "candidates"]), ("changed", []), ("", [])):
        assert not log.reusable({"a": Wanted(key)}, kinds)
    (log.folder / "a.txt").unlink()
    assert not log.reusable({"a": Wanted("key")}, ["masks"])
    assert log.missing_outputs() == [str(log.folder / "a.txt")]


def test_objects_named_by_their_places_follow_them(log):
    record(log, "a", names=[3, 4], objects=(3, 4))
    moved = Wanted("key", [5, 6])
    assert log.reusable({"a": moved}, []) == ["a"]
    assert [row["object"] for row in log.result("a", moved).statistics.rows] == [5, 6]
    record(log, "b", names=[3, 4], objects=(3,), failures=["result 4 is broken"])
    assert log.reusable({"b": Wanted("key", [3, 4])}, []) == ["b"]
    assert not log.reusable({"b": moved}, []), "its sentence names the old place"


def test_changed_outputs_are_noticed_unless_they_are_about_to_be_written(log):
    record(log, "a")
    record(log, "gone")
    (log.folder / "a.txt").write_text("edited")
    (log.folder / "gone.txt").write_text("edited")
    assert log.changed(["a"]) == [str(log.folder / "a.txt")]
    log.begin(["a"])
    assert log.changed(["a"]) == []


def test_files_of_what_is_no_longer_an_input_are_left_over_as_long_as_they_are_there(log):
    record(log, "a")
    record(log, "gone")
    mine = log.files_of(["a"])
    assert log.left_over(mine) == [str(log.folder / "gone.txt")]
    (log.folder / "gone.txt").unlink()
    assert log.left_over(mine) == []


def test_names_of_files_need_not_be_utf8(log):
    record(log, "\udc80")
    (path,) = log.files_of(["\udc80"])
    assert log.reusable({"\udc80": Wanted("key")}, ["masks"]) == ["\udc80"]
    assert log.notes(log.folder / "\udc80.txt") is not None
    assert log.left_over([]) == [path] == [str(log.folder / "\udc80.txt")]


def test_a_file_that_a_killed_process_could_not_record_is_left_over_too(tmp_path):
    announced, first = Announced(tmp_path), ResumeLog(tmp_path)
    record(first, "a")
    announced([tmp_path / "a.txt", tmp_path / "moved.txt"])
    announced([tmp_path / "never\n\udc80.txt"])
    (tmp_path / "moved.txt").write_text("masks")
    first.close()
    with (tmp_path / ANNOUNCED).open("a") as file:
        file.write('"a line that was cu')
    again = ResumeLog(tmp_path)
    assert again.left_over(again.files_of(["a"])) == [str(tmp_path / "moved.txt")]
    assert again.reusable({"a": Wanted("key")}, ["masks"]) == ["a"], "what was recorded stays so"
    assert again.changed(["a"]) == again.missing_outputs() == announced.paths() == []
    again.close()


def test_a_file_that_another_image_writes_now_is_no_longer_of_the_first(log):
    record(log, "a")
    with noting_files() as notes:
        write_text(log.folder / "a.txt", "masks of b")
    log.record("b", Wanted("key"), result("x").to_bytes(), {"masks": notes})
    assert not log.reusable({"a": Wanted("key")}, ["masks"])
    assert log.changed(["a", "b"]) == []


def test_a_folder_of_results_can_be_moved(log, tmp_path_factory):
    record(log, "a")
    log.close()
    moved = tmp_path_factory.mktemp("elsewhere") / "run"
    log.folder.rename(moved)
    again = ResumeLog(moved)
    assert again.reusable({"a": Wanted("key")}, ["masks"]) == ["a"]
    again.close()


def test_other_processes_results_are_joined_at_the_next_start(tmp_path):
    first, second = ResumeLog(tmp_path), ResumeLog(tmp_path, rank=1)
    record(first, "a")
    record(second, "b")
    first.close()
    second.close()
    joined = ResumeLog(tmp_path)
    assert joined.reusable({"a": Wanted("key"), "b": Wanted("key")}, ["masks"]) == ["a", "b"]
    assert [path.name for path in tmp_path.glob(".resume*.sqlite")] == [FILE]
    joined.close()


def test_a_forgotten_log_still_knows_its_files(log):
    record(log, "a")
    log.keep_evidence("k", [1])
    assert log.evidence("k") == [1]
    log.forget()
    assert not log.reusable({"a": Wanted("key")}, [])
    assert log.evidence("k") is None
    assert log.left_over([]) == [str(log.folder / "a.txt")]


@pytest.mark.parametrize("damage", ["content", "header", "nonsense", "version"])
def test_a_damaged_log_costs_what_is_damaged(tmp_path, capsys, damage):
    log = ResumeLog(tmp_path)
    record(log, "a")
    record(log, "b")
    log.close()
    base = sqlite3.connect(tmp_path / FILE)
    with base:
        if damage == "content":
            base.execute("UPDATE results SET content = substr(content, 1, 20) WHERE image = '\"a\"'")
        if damage == "version":
            base.execute("PRAGMA user_version = 99")
    base.close()
    if damage in ("header", "nonsense"):
        content = bytes(16) + (tmp_path / FILE).read_bytes()[16:]
        (tmp_path / FILE).write_bytes(content if damage == "header" else b"nonsense" * 100)
    again = ResumeLog(tmp_path)
    both = {"a": Wanted("key"), "b": Wanted("key")}
    assert again.reusable(both, []) == (["b"] if damage == "content" else [])
    assert ("refined again" in capsys.readouterr().out) == (damage != "content")
    record(again, "a")
    assert "a" in again.reusable(both, ["masks"])
    again.close()


def test_a_log_that_cannot_be_written_is_one_sentence(log):
    log._base.execute("PRAGMA query_only = ON")
    with pytest.raises(OutputError, match="make room"):
        record(log, "a")


def test_damaged_content_is_found_by_its_checksum():
    content = bytearray(result("x").to_bytes())
    content[-1] ^= 1
    with pytest.raises(zlib.error):
        SampleResult.from_bytes(bytes(content))


def test_a_refinement_comes_back_from_json_without_what_is_large():
    rng = np.random.default_rng(0)
    points = rng.random((2, 1, 2)).astype(np.float32)
    before = Refinement(
        masks=rng.random((2, 5, 7)) > 0.5,
        chosen=np.array([1, -1]),
        predicted_iou=np.float32([0.1, 1.02]),
        iou_predictions=rng.random((2, 3)).astype(np.float32),
        prompts=Prompts(points, np.array([[1], [-1]]), None, np.ones((2, 1, 4, 4), np.float32)),
        flags=("refined", "kept"),
        candidate_iou=np.array([[0.1, 0.2, np.nan], [1, 0, 0.5]]),
        reasons=("a", "b"),
        scores=np.float32([0.5, 0.25]),
        rejected={1: rng.random((5, 7)) > 0.5},
        logits=np.zeros((2, 5, 7), np.float32),
        timing={"decode": 1.0},
    )
    after = from_json(to_json(before))
    for name in ("masks", "chosen", "predicted_iou", "iou_predictions", "candidate_iou", "scores"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == getattr(before, name).dtype
    assert (after.flags, after.reasons) == (before.flags, before.reasons)
    assert after.rejected.keys() == {1}
    assert (after.rejected[1] == before.rejected[1]).all()
    np.testing.assert_array_equal(after.prompts.point_coords, before.prompts.point_coords)
    assert after.prompts.boxes is None
    assert after.prompts.mask_input is None
    assert after.logits is None
    nothing = Refinement(np.zeros((0, 5, 7), bool), *(np.zeros((0, *s)) for s in ((), (), (3,))), Prompts(), ())
    assert from_json(to_json(nothing)).masks.shape == (0, 5, 7)
