"""What the files in `conf/` say of themselves: each group, each option, each key; read without composing anything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import yaml

from samref.config.shipped import config_dir

# Groups without a default: chosen with a + in Hydra's grammar, by name alone in ours.
OPTIONAL_GROUPS = {
    "experiment": "a table or figure of the paper, as one sweep that the command line can narrow",
    "preset": "the authors' released code in place of the paper's text, or parts of it",
}
PRIVATE = "_"
_LINE = re.compile(r"^(?P<indent> *)(?P<key>[\w.]+):(?: +(?P<value>[^#\s].*?))?(?: +# *(?P<comment>.*))?$")


def groups() -> dict[str, str]:
    """The groups that can be chosen, and what each decides: the comments in `conf/config.yaml`."""
    found = {}
    for line in _text(config_dir() / "config.yaml").splitlines():
        match = re.match(r"^  - (?P<group>\w+): \w+ *# (?P<comment>.*)$", line)
        if match:
            found[match["group"]] = match["comment"]
    return {**found, **OPTIONAL_GROUPS}


def options(group: str) -> list[str]:
    """The options of a group; files that begin with `_` are parts of others."""
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml") if not path.name.startswith(PRIVATE))


def run_keys() -> dict[str, str]:
    """The keys of a run itself, at the top of the configuration, and what each means."""
    text = _text(config_dir() / "config.yaml")
    return {key: comment for key, comment in _comments(text).items() if not key.startswith(("hydra", "defaults"))}


def option_keys(group: str, option: str) -> dict[str, str]:
    """The keys of an option, with those that its file takes over from others, and what each means.

    Args:
        group: a folder of `conf/`.
        option: a file in it.

    Returns:
        Comment, or "", by dotted key below the group. Keys that begin with `_` are left out.
    """
    path = config_dir() / group / f"{option}.yaml"
    found: dict[str, str] = {}
    for file in [*_parents(path), path]:
        for key, comment in _comments(_text(file)).items():
            if key.split(".")[0] != "defaults" and not any(part.startswith(PRIVATE) for part in key.split(".")):
                found[key] = comment or found.get(key, "")
    return found


def known_keys() -> list[str]:
    """The dotted keys of the configuration as it is without overrides, read from its files: composing takes longer."""
    chosen = re.findall(r"^  - (\w+): (\w+)", _text(config_dir() / "config.yaml"), re.MULTILINE)
    keys = [*run_keys(), *(f"{group}.{key}" for group, option in chosen for key in option_keys(group, option))]
    branches = {key[:place] for key in keys for place, letter in enumerate(key) if letter == "."}
    return [key for key in keys if key not in branches]


def description(path: Path) -> str:
    """The comment at the top of a file, on one line."""
    lines = []
    for line in _text(path).splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.lstrip("# "))
    return " ".join(lines)


def _parents(path: Path) -> Iterator[Path]:
    for entry in (yaml.safe_load(_text(path)) or {}).get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            parent = path.with_name(f"{entry}.yaml")
            yield from _parents(parent)
            yield parent


@lru_cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _comments(text: str) -> dict[str, str]:
    """The comment beside or above each key of a file; a file's own first comment is not its first key's."""
    found: dict[str, str] = {}
    place: list[tuple[int, str]] = []
    above: list[str] = []
    started = False
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            above = [" ".join([*above, stripped.lstrip("# ")])] * started
            continue
        match = _LINE.match(line)
        if match:
            started = True
            indent = len(match["indent"])
            place = [(column, key) for column, key in place if column < indent] + [(indent, match["key"])]
            said = [*above, *([match["comment"]] if match["comment"] else [])]
            found[".".join(key for _, key in place)] = _joined(said, match["key"])
        above = []
    return found


def _joined(comments: list[str], key: str) -> str:
    return "; ".join(comments).removeprefix(f"{key}: ")


def flat(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted keys and values of a tree of settings; keys that begin with `_` are left out.

    A part without keys of its own inside a group counts as a value: `callbacks.progress=null` leaves it out.
    """
    for key, value in tree.items():
        if str(key).startswith(PRIVATE):
            continue
        is_part = isinstance(value, Mapping) and all(str(inner).startswith(PRIVATE) for inner in value)
        if isinstance(value, Mapping) and not (is_part and prefix) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
