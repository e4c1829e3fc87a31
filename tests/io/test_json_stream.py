"""Long JSON files read and written element by element: the same content as when they are read as one."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samref.errors import DatasetError
from samref.io import json_stream
from samref.io.json_stream import ElementWriter, read_elements

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner))
documents = st.lists(values, max_size=6) | st.dictionaries(st.sampled_from(["images", "annotations", "a", "ü"]), values)


def written(elements):
    file = io.StringIO()
    writer = ElementWriter(file)
    for element in elements:
        writer.write(element)
    writer.close()
    return file.getvalue()


@settings(max_examples=80, deadline=None)
@given(document=documents, chunk=st.integers(1, 40), indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_what_goes_through_is_what_reading_as_one_gives(tmp_path_factory, document, chunk, indent, ascii_only):
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(
        json.dumps(document, indent=indent, ensure_ascii=ascii_only), encoding="utf-8", errors="surrogatepass"
    )
    before, json_stream.CHUNK = json_stream.CHUNK, chunk
    try:
        assert written(read_elements(path, ("images", "annotations"))) == json.dumps(document)
    finally:
        json_stream.CHUNK = before


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_encodings_are_those_of_json(tmp_path, encoding):
    (tmp_path / "a.json").write_text('[1.50, "ü", NaN]', encoding=encoding)
    assert written(read_elements(tmp_path / "a.json", ())) == '[1.5, "\\u00fc", NaN]'


@pytest.mark.parametrize("text", ["", "7", "[1,]", '{"a" 1}', "[1 2]", '{"a": 1} x', '["'])
def test_what_is_no_json_is_one_sentence(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DatasetError, match=r"a.json is not JSON .*; give another file"):
        list(read_elements(tmp_path / "a.json", ()))
    with pytest.raises(DatasetError, match="cannot be read"):
        list(read_elements(tmp_path / "none.json", ()))
