"""Files that appear complete or not at all, one by one and together."""

import os

import pytest

from samref.io.atomic import PARTIAL, atomic_path, noting_files, write_bytes, write_text, written_together


def test_files_that_are_written_together_appear_at_the_end_in_their_order(tmp_path):
    write_text(tmp_path / "1", "old")
    announced = []

    def announce(paths):
        assert not (tmp_path / "2").exists()
        announced.extend(paths)

    with noting_files() as notes, written_together(announce):
        for k in range(20):
            write_bytes(tmp_path / str(k), b"new")
        # The last one counts, as one after another.
        write_bytes(tmp_path / "3", b"newest")
        assert (tmp_path / "1").read_text() == "old"
        assert not (tmp_path / "2").exists()
        assert notes == {}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        **{str(k): b"new" for k in range(20)},
        "3": b"newest",
    }
    assert announced == [tmp_path / str(k) for k in (*range(20), 3)]
    assert list(notes) == [str(tmp_path / str(k)) for k in range(20)]
    assert notes[str(tmp_path / "3")][0] == len(b"newest")


def _disk_error(_):
    raise OSError("no space left")


@pytest.mark.parametrize("where", ["block", "sync"])
def test_none_of_them_appears_if_one_fails(tmp_path, monkeypatch, where):
    write_text(tmp_path / "1", "old")
    if where == "sync":
        monkeypatch.setattr(os, "fsync", _disk_error)

    def write():
        with written_together():
            for k in range(3):
                write_bytes(tmp_path / str(k), b"new")
            if where == "block":
                raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    assert (tmp_path / "1").read_text() == "old"


def test_after_them_files_are_written_one_by_one_again(tmp_path):
    with written_together():
        pass
    write_text(tmp_path / "1", "new")
    assert (tmp_path / "1").read_text() == "new"


def test_what_need_not_be_durable_does_not_wait(tmp_path):
    with written_together():
        with atomic_path(tmp_path / "1", durable=False) as temporary:
            temporary.write_text("new")
        assert (tmp_path / "1").read_text() == "new"


def test_they_are_as_readable_as_other_files_of_the_user(tmp_path):
    (tmp_path / "other").write_text("")
    with written_together():
        write_text(tmp_path / "1", "new")
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(PARTIAL)]
    assert (tmp_path / "1").stat().st_mode == (tmp_path / "other").stat().st_mode
