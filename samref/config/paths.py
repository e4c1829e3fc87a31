"""Paths that constructors take, by kind; whether one is there is known before anything slow is imported."""

from __future__ import annotations

import re
from os.path import expanduser
from pathlib import Path
from typing import TypeAlias

from samref.config.nearest import nearest

# Annotations of constructors. `~` is the home folder in all of them.
InputFolder: TypeAlias = str | Path
InputFile: TypeAlias = str | Path
InputPath: TypeAlias = str | Path
InputModel: TypeAlias = str | Path
OutputFolder: TypeAlias = str | Path

EXPECTED = {
    "InputFolder": "a folder",
    "InputFile": "a file",
    "InputPath": "a folder or a file",
    "InputModel": "a folder, a file or a name on the Hugging Face Hub (owner/model)",
}
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def path_problem(name: str, value: str, kind: str, meaning: str = "") -> str | None:
    """What is wrong with one path, in a sentence; None if it is there.

    Args:
        name: what the path is called, to its user.
        value: the path.
        kind: a key of `EXPECTED`.
        meaning: what is expected of it.
    """
    path = Path(expanduser(value))
    there = {"InputFolder": path.is_dir, "InputFile": path.is_file}.get(kind, path.exists)()
    if there or (kind == "InputModel" and is_hub_name(value)):
        return None
    expected = f"; expected {meaning}" if meaning else ""
    return f"{name}{value} is not {EXPECTED[kind]}{_nearby(path)}{expected}"


def is_hub_name(value: str) -> bool:
    """Whether a text can be the name of a model on the hub: owner/model, and no owner is a folder here."""
    return HUB_NAME.fullmatch(value) is not None and not Path(value).parent.is_dir()


def _nearby(path: Path) -> str:
    """The name beside a missing one that is most like it, where there is one."""
    try:
        found = nearest(path.name, [other.name for other in path.parent.iterdir()])
    except OSError:
        return ""
    return f" (there is {path.parent / found[0]})" if found and found[0] != path.name else ""
