"""What pages that refer to no other file are made of: templates, and files as addresses."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def template_environment(folder: Path) -> Environment:
    """Reads the templates of a folder; what they are filled with is escaped, and a name without a value is an error."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def data_url(kind: str, content: bytes) -> str:
    """A file as the address of itself.

    >>> data_url("image/png", b"abc")
    'data:image/png;base64,YWJj'
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
