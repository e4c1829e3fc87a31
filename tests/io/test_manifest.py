import os
import time

import pytest

from samref.io import manifest
from samref.io.manifest import SETTLED_NS, Manifest


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files that were read for their hash; files count as settled however young they are."""
    read = []

    def hash_file(path, original=manifest.hash_file):
        read.append(os.path.basename(path))
        return original(path)

    monkeypatch.setattr(manifest, "hash_file", hash_file)
    monkeypatch.setattr(manifest.time, "time_ns", lambda: original_time() + 2 * SETTLED_NS)
    return read


original_time = time.time_ns


def digests(folder, *names):
    known = Manifest(folder / "manifest.json")
    found = [known.digest(folder / name) for name in names]
    known.save()
    return found


def test_only_files_that_moved_are_read_again(tmp_path, hashed):
    for name in "abc":
        (tmp_path / name).write_text(f"content of {name}")
    first = digests(tmp_path, "a", "b", "c")
    assert len(set(first)) == 3 and sorted(hashed) == ["a", "b", "c"]
    hashed.clear()
    assert digests(tmp_path, "a", "b", "c") == first and not hashed
    os.utime(tmp_path / "a", (5, 5))
    (tmp_path / "b").write_text("content of B")
    again = digests(tmp_path, "a", "b", "c")
    assert sorted(hashed) == ["a", "b"]
    assert (again[0], again[2]) == (first[0], first[2]) and again[1] != first[1]


def test_a_change_that_keeps_size_and_time_of_content_is_noticed(tmp_path, hashed):
    (tmp_path / "a").write_text("one")
    os.utime(tmp_path / "a", (5, 5))
    first = digests(tmp_path, "a")
    (tmp_path / "a").write_text("two")
    os.utime(tmp_path / "a", (5, 5))
    assert digests(tmp_path, "a") != first


def test_young_files_are_read_again(tmp_path, hashed, monkeypatch):
    monkeypatch.setattr(manifest.time, "time_ns", original_time)
    (tmp_path / "a").write_text("one")
    assert digests(tmp_path, "a") == digests(tmp_path, "a")
    assert hashed == ["a", "a"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 3}', '{"a": [1, 2, "x", "y"]}', "\x00"])
def test_a_damaged_manifest_only_means_hashing_again(tmp_path, hashed, text):
    (tmp_path / "a").write_text("one")
    first = digests(tmp_path, "a")
    (tmp_path / "manifest.json").write_text(text)
    assert digests(tmp_path, "a") == first
    assert len(hashed) == 2


def test_what_cannot_be_read_has_no_hash(tmp_path):
    assert digests(tmp_path, "absent", "bad\0name") == ["", ""]


def test_a_folder_is_known_by_the_names_and_contents_below(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "x").write_text("one")
    first = digests(tmp_path, "in")
    (tmp_path / "in" / "deep" / "x").rename(tmp_path / "in" / "deep" / "y")
    renamed = digests(tmp_path, "in")
    (tmp_path / "in" / "deep" / "y").write_text("two")
    assert len({*first, *renamed, *digests(tmp_path, "in")}) == 3


def test_a_file_written_after_it_was_hashed_has_moved(tmp_path):
    (tmp_path / "a").write_text("one")
    known = Manifest(tmp_path / "manifest.json")
    known.digest(tmp_path / "a")
    assert not known.moved(tmp_path / "a")
    (tmp_path / "a").write_text("longer")
    assert known.moved(tmp_path / "a")
