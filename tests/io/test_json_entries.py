"""Lists that stay in their file: what is read is what reading the file as one gives."""

import codecs
import json
import pickle

import pytest
from hypothesis import given, settings

from samref.errors import DatasetError
from samref.io import json_stream
from samref.io.json_entries import Entries, read_listed
from tests.io.test_json_stream import documents

LISTS = ("annotations", "ü")


def whole(content):
    if isinstance(content, dict):
        return {key: list(value) if isinstance(value, Entries) else value for key, value in content.items()}
    return list(content)


@settings(max_examples=30, deadline=None)
@given(document=documents)
def test_entries_are_those_of_the_file_read_as_one(tmp_path_factory, document):
    path = tmp_path_factory.mktemp("json") / "a.json"
    before = json_stream.CHUNK
    try:
        for json_stream.CHUNK in (3, 50):
            for mark in (b"", codecs.BOM_UTF8):
                text = json.dumps(document, indent=1, ensure_ascii=False).replace("\n", "\r\n")
                path.write_bytes(mark + text.encode("utf-8", "backslashreplace"))
                assert whole(read_listed(path, LISTS)) == json.loads(path.read_bytes())
    finally:
        json_stream.CHUNK = before


def test_entries_are_a_sequence_that_goes_to_other_processes(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1, "annotations": [{"x": "ü"}, [2], 3, null], "annotations": [7, "é", 9]}')
    content = read_listed(tmp_path / "a.json", LISTS)
    entries = pickle.loads(pickle.dumps(content["annotations"]))
    assert (content["a"], len(entries), entries[1], entries[-1], entries[1:]) == (1, 3, "é", 9, ["é", 9])
    assert entries.at([2, 0]) == [9, 7]
    with pytest.raises(IndexError):
        entries[3]


def test_a_file_that_changes_is_not_read_on(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[1, 2]")
    entries = read_listed(path, ())
    path.write_text("[1, 2, 3]")
    with pytest.raises(DatasetError, match=r"a.json has changed since it was opened; run the same command again"):
        entries[0]
    path.unlink()
    with pytest.raises(DatasetError, match=r"a.json cannot be read any more"):
        list(entries)


def test_what_is_not_utf8_or_no_json_is_left_to_others(tmp_path):
    (tmp_path / "a.json").write_text("[1]", encoding="utf-16")
    (tmp_path / "b.json").write_text("[1")
    assert [read_listed(tmp_path / name, ()) for name in ("a.json", "b.json", "none.json")] == [None] * 3
