"""JSON in the style in which other JSON came, so that two versions of a file differ where their content does."""

from __future__ import annotations

import json
from typing import Any

_BOM = b"\xef\xbb\xbf"
_SEPARATORS = (None, (",", ":"), (",", ": "), (", ", ": "))


def dumps_like(raw: bytes, before: Any, after: Any) -> bytes:
    """Another content in the style of a file.

    Args:
        raw: the file's bytes.
        before: what they hold.
        after: what is to be written.

    Returns:
        The bytes, with the byte order mark, indent, separators, escapes, line ends and last line of the file; where its
        style is none that Python writes, the nearest one.

    >>> dumps_like(b'{"a":[1,2]}', {"a": [1, 2]}, {"a": [3]})
    b'{"a":[3]}'
    """
    mark = _BOM if raw.startswith(_BOM) else b""
    body = raw[len(mark) :]
    end = body[len(body.rstrip()) :]
    ends = b"\r\n" if b"\r\n" in body else b"\n"
    text = body.rstrip().replace(b"\r\n", b"\n")
    styles: list[dict[str, Any]] = [
        {"indent": _indent(text), "separators": separators, "ensure_ascii": escapes}
        for separators in _SEPARATORS
        for escapes in (False, True)
    ]
    tight = {**styles[0], "separators": (",", ":")} if b'": ' not in text else styles[0]
    style = next((style for style in styles if _dumps(before, style) == text), tight)
    return mark + _dumps(after, style).replace(b"\n", ends) + end


def _indent(text: bytes) -> int | str | None:
    lines = text.split(b"\n", 2)
    if len(lines) < 2:
        return None
    space = lines[1][: len(lines[1]) - len(lines[1].lstrip())]
    return "\t" * len(space) if space.startswith(b"\t") else len(space)


def _dumps(content: Any, style: dict[str, Any]) -> bytes:
    return json.dumps(content, **style).encode("utf-8", "surrogatepass")
