import json

import pytest

from samref.io.json_text import dumps_like

CONTENT = {"name": "größer", "points": [[1.5, 2], []], "none": None}


@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"indent": 4}, {"indent": "\t"}, {"separators": (",", ":")}])
@pytest.mark.parametrize("escapes", [True, False])
@pytest.mark.parametrize(("mark", "end"), [(b"", b""), (b"\xef\xbb\xbf", b"\n")])
def test_the_same_content_gives_the_same_bytes(style, escapes, mark, end):
    raw = mark + json.dumps(CONTENT, ensure_ascii=escapes, **style).encode() + end
    assert dumps_like(raw, CONTENT, CONTENT) == raw
    assert json.loads(dumps_like(raw, CONTENT, {"a": 1})) == {"a": 1}


def test_line_ends_stay():
    raw = json.dumps(CONTENT, indent=1).replace("\n", "\r\n").encode()
    assert dumps_like(raw, CONTENT, CONTENT) == raw


def test_a_style_that_python_never_writes_is_taken_as_the_nearest():
    raw = b'{"a":1e2,"b":[]}'
    assert dumps_like(raw, json.loads(raw), {"a": 2, "b": []}) == b'{"a":2,"b":[]}'
