"""Mistakes in overrides, each explained in one sentence that says what was probably meant."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException

from samref.config.nearest import did_you_mean
from samref.config.reference import OPTIONAL_GROUPS, PRIVATE, groups, option_keys, options

_WORD = re.compile(r"^(?P<key>[~+]{0,2}[\w.@/]+)=(?P<value>.*)$", re.DOTALL)
_HOME = re.compile(r"^(?P<quote>[\"']?)~(?=/|[\"']?$)")


def normalized(word: str, home: Callable[[str], str]) -> str:
    """An override in Hydra's grammar: groups without a default get their +, and ~ the home folder.

    Args:
        word: as it was typed.
        home: from a path that begins with ~ to one that does not.
    """
    match = _WORD.match(word)
    if match is None:
        return word
    key, value = match["key"], match["value"]
    if key in OPTIONAL_GROUPS:
        key = f"+{key}"
    found = _HOME.match(value)
    if found is not None:
        inner = value[1:-1] if found["quote"] and value.endswith(found["quote"]) else value
        value = quoted(home(inner))
    return f"{key}={value}"


def quoted(value: str) -> str:
    """A text as Hydra's grammar takes it literally, whatever characters it holds."""
    return str(QuotedString(value.replace("${", "\\${"), Quote.double).with_quotes())


def unreadable(words: Iterable[str]) -> str | None:
    """The sentence on the first override that Hydra's grammar cannot read; None where all can be read."""
    parser = OverridesParser.create()
    for word in words:
        try:
            parser.parse_override(word)
        except HydraException as error:
            match = _WORD.match(word)
            if match is None:
                return f"{word} is no option; expected KEY=VALUE or GROUP=OPTION"
            if not match["value"].strip("\"'"):
                return f"{word} cannot be read ({str(error).splitlines()[0]})"
            return f"{word} cannot be read: a value with such characters needs quotes twice: {in_shell(word)}"
    return None


def in_shell(word: str) -> str:
    """An override of a text, as it is typed in a shell: in Hydra's quotes, inside the shell's."""
    key, _, value = word.partition("=")
    for quote in ('"', "'"):
        if len(value) > 1 and value[0] == value[-1] == quote:
            value = value[1:-1]
    return shlex.quote(f"{key}={quoted(value)}")


def explained(error: Exception, words: Sequence[str], known: Callable[[], Iterable[str]]) -> str:
    """What is wrong with overrides that do not compose, in one sentence.

    Args:
        error: what composing them raised.
        words: the overrides.
        known: computes the dotted keys that there are; called only where they are needed.
    """
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _no_option(error.missing_cfg_file, public(error.options or ()))
    text = str(error)
    ambiguous = re.search(r"Ambiguous value for argument '(.*)'\n", text)
    if ambiguous:
        word = ambiguous[1]
        return f"{word} holds a comma: as text it is {in_shell(word)}; several values are a sweep, which needs -m"
    refused = re.search(r"Could not (?:override|delete from config\.?) '?([\w.@/]+)", text)
    if refused:
        return _no_key(refused[1].rstrip("."), words, known)
    return in_a_sentence(error)


def in_a_sentence(error: Exception) -> str:
    """What Hydra says over several lines, on one, without the folders it searched."""
    text = str(error).partition("Config search path")[0]
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("full_key:", "object_type="))]
    return "; ".join(part.rstrip(".") for part in kept)


def _no_option(path: str, there: Sequence[str]) -> str:
    group, _, option = path.rpartition("/")
    there = there or options(group)  # of one among several, Hydra does not say
    hint = did_you_mean(option, there, f"{group}={{}}")
    return f"there is no {group}={option}; {f'{hint} ' if hint else ''}expected one of {', '.join(there)}"


def _no_key(key: str, words: Sequence[str], known: Callable[[], Iterable[str]]) -> str:
    group, _, rest = key.partition(".")
    chosen = {word.partition("=")[0].lstrip("+"): word.partition("=")[2] for word in words}
    holders = [option for option in options(group) if rest and rest in option_keys(group, option)]
    if holders:
        # An option of another data set, say, than the one that was chosen.
        now = f"{group}={chosen[group]}" if group in chosen else f"the default {group}"
        return f"{key} is an option of {group}={' or '.join(holders)}, not of {now}; choose one of them"
    hint = did_you_mean(key, [*known(), *groups()])
    return f"there is no option {key}; {hint or 'samref run --help lists them; a new one is added by +KEY=VALUE'}"


def public(keys: Iterable[str]) -> list[str]:
    """Keys without those of which a part begins with `_`."""
    return [key for key in keys if not any(part.startswith(PRIVATE) for part in key.split("."))]
