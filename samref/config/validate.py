"""Options of the wrong kind, found before they are used: constructors' annotations say what each must be."""

from __future__ import annotations

import inspect
import types
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TypedDict, Union, get_args, get_origin, get_type_hints

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from samref.errors import ConfigError

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}


class RunOptions(TypedDict):
    """Options at the top of the configuration, which no constructor takes."""

    name: str | int
    form: str
    regions: bool
    seed: int
    mask_kind: str
    limit: int | None
    on_error: str
    num_workers: int
    save_masks: bool
    save_candidates: bool
    force: bool
    optimized_metric: str | None


class PathOptions(TypedDict):
    """Options of the group `paths`."""

    outputs: str


NOT_NEGATIVE = ("seed", "num_workers")
SEEDS = 2**32


def check_run_options(cfg: DictConfig) -> None:
    """Holds the options that belong to the run itself against their kinds and ranges.

    Args:
        cfg: composed configuration.

    Raises:
        ConfigError: for the first that is of another kind or out of range.
    """
    for node, options in ((cfg, RunOptions), (cfg.paths, PathOptions)):
        hints = get_type_hints(options)
        if missing := [key for key in hints if key not in node]:
            raise ConfigError(f"{node._get_full_key(missing[0])} is missing; leave it in the configuration")
        check_kinds(node, hints)
    for option in NOT_NEGATIVE:
        if (value := OmegaConf.select(cfg, option)) < 0:
            raise ConfigError(f"{option} is {value}; expected 0 or more")
    if cfg.seed >= SEEDS:
        raise ConfigError(f"seed is {cfg.seed}; expected less than {SEEDS}")


def check_part(cfg: DictConfig, replaced: Collection[str] = ()) -> None:
    """Holds every part in a configuration against the annotations of what it is built by.

    Args:
        cfg: a node; those below it that have a `_target_` are checked as well.
        replaced: keys of `cfg` itself whose values are not used.

    Raises:
        ConfigError: for the first value of another kind; annotations of other kinds than text, numbers, truth values
            and null are left to the constructors.
    """
    for node in _parts(cfg):
        try:
            target = get_object(str(node._target_))
            hints = get_type_hints(inspect.getattr_static(target, "__init__") if isinstance(target, type) else target)
        except (ImportError, AttributeError, NameError, TypeError, ValueError):
            # Building it says what is wrong with the target; names imported for type checkers alone are not known here.
            continue
        check_kinds(node, {key: hint for key, hint in hints.items() if node is not cfg or key not in replaced})


def check_kinds(node: DictConfig, hints: dict[str, Any]) -> None:
    """Holds a node's values against annotations.

    Raises:
        ConfigError: for the first of another kind.
    """
    for key, hint in hints.items():
        kinds = _kinds(hint)
        if kinds is None or key not in node:
            continue
        value = node[key]
        if not any(_is(value, kind) for kind in kinds):
            expected = " or ".join(dict.fromkeys(WORDS[kind] for kind in kinds))
            raise ConfigError(f"{node._get_full_key(key)} is {shown(value)}; expected {expected}")


def shown(value: Any) -> str:
    """A value of an option in a sentence: text in quotes, None as it is typed."""
    return "null" if value is None else repr(value) if isinstance(value, str) else str(value)


def _parts(node: Any) -> Iterator[DictConfig]:
    if not OmegaConf.is_config(node) or node._is_none():
        return
    if isinstance(node, DictConfig) and "_target_" in node:
        yield node
    for child in node.values() if isinstance(node, DictConfig) else node:
        yield from _parts(child)


def _kinds(hint: Any) -> tuple[type, ...] | None:
    """The plain types an annotation allows; None where it allows anything else. A path is given as text."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    # A configuration holds paths as text.
    options = tuple(option for option in options if option is not Path)
    return options if all(option in WORDS for option in options) else None


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
