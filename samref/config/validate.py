"""Options of the wrong kind, found before they are used: constructors' annotations say what each must be.

Annotations are read from source files, as in `samref.config.signature`: a mistake is answered before PyTorch is loaded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from samref.config.paths import EXPECTED
from samref.config.signature import is_own, parameters
from samref.errors import ConfigError


class Kind(NamedTuple):
    """What a value may be, and in words; `float` takes whole numbers, too."""

    types: tuple[type, ...]
    words: str


# By the name in an annotation. A configuration holds paths as text.
KINDS = {
    "bool": Kind((bool,), "true or false"),
    "int": Kind((int,), "a whole number"),
    "float": Kind((int, float), "a number"),
    "str": Kind((str,), "text"),
    "None": Kind((type(None),), "null"),
    **dict.fromkeys(("Path", *EXPECTED, "OutputFolder"), Kind((str,), "text")),
}


@dataclass
class RunOptions:
    """Options at the top of the configuration, which no constructor takes."""

    name: str | int
    form: str
    regions: bool
    seed: int
    mask_kind: str
    limit: int | None
    on_error: str
    num_workers: int | str
    save_masks: bool
    save_candidates: bool
    force: bool
    optimized_metric: str | None


@dataclass
class PathOptions:
    """Options of the group `paths`."""

    outputs: str


NOT_NEGATIVE = ("seed", "num_workers")
SEEDS = 2**32


def run_option_problems(cfg: DictConfig) -> Iterator[str]:
    """What is wrong with the options that belong to the run itself: kinds and ranges.

    Args:
        cfg: composed configuration.
    """
    for node, options in ((cfg, RunOptions), (cfg.paths, PathOptions)):
        known = written_kinds(options)
        missing = [key for key in known if key not in node]
        yield from (f"{node._get_full_key(key)} is missing; leave it in the configuration" for key in missing)
        yield from kind_problems(node, known)
    for option in NOT_NEGATIVE:
        value = cfg.get(option)
        if isinstance(value, int) and value < 0:
            yield f"{option} is {value}; expected 0 or more"
    if isinstance(cfg.get("seed"), int) and cfg.seed >= SEEDS:
        yield f"seed is {cfg.seed}; expected less than {SEEDS}"


def part_problems(node: Any, replaced: Collection[str] = (), imports: bool = True) -> Iterator[str]:
    """What is wrong with the kinds of values in the parts of a configuration.

    Annotations of other kinds than text, numbers, truth values and null are left to the constructors.

    Args:
        node: of the configuration; those below it that have a `_target_` are checked as well.
        replaced: keys of `node` itself whose values are not used.
        imports: whether parts of other packages are checked, too, which imports them.
    """
    for part in _parts(node):
        if not (imports or is_own(str(part._target_))):
            continue
        try:
            found = parameters(str(part._target_))
        except Exception:  # building it says what is wrong with it
            continue
        known = {key: each.annotation for key, each in found.items() if part is not node or key not in replaced}
        yield from kind_problems(part, known)


def check_part(cfg: DictConfig, replaced: Collection[str] = ()) -> None:
    """Holds a part of the configuration, and those below it, against the annotations of what it is built by.

    Args:
        cfg: has a `_target_`.
        replaced: keys of `cfg` itself whose values are not used.

    Raises:
        ConfigError: naming all values of another kind.
    """
    raise_all(part_problems(cfg, replaced))


def kind_problems(node: DictConfig, known: Mapping[str, str]) -> Iterator[str]:
    """A sentence on each value of a node that is of another kind than its annotation says."""
    for key, annotation in known.items():
        kinds = _kinds(annotation)
        if kinds is None or key not in node or OmegaConf.is_missing(node, key):
            continue
        value = node[key]
        if not any(_is(value, kind) for kind in kinds):
            expected = " or ".join(dict.fromkeys(kind.words for kind in kinds))
            yield f"{node._get_full_key(key)} is {shown(value)}; expected {expected}"


def raise_all(problems: Iterator[str]) -> None:
    """Raises one error for all problems, if there are any."""
    if sentences := list(problems):
        raise ConfigError("; ".join(sentences))


def written_kinds(options: type) -> dict[str, str]:
    """The annotations of a dataclass, as they are written."""
    return {key: str(annotation) for key, annotation in options.__annotations__.items()}


def shown(value: Any) -> str:
    """A value of an option in a sentence: text in quotes, None as it is typed."""
    return "null" if value is None else repr(value) if isinstance(value, str) else str(value)


def _parts(node: Any) -> Iterator[DictConfig]:
    if not OmegaConf.is_config(node) or node._is_none():
        return
    if isinstance(node, DictConfig) and "_target_" in node:
        yield node
    keys = node if isinstance(node, DictConfig) else range(len(node))
    for key in keys:
        if not OmegaConf.is_missing(node, key):
            yield from _parts(node[key])


def _kinds(annotation: str) -> list[Kind] | None:
    """The kinds that an annotation allows; None where it allows anything else."""
    names = annotation.replace("typing.", "").removeprefix("Optional[").removeprefix("Union[")
    if names != annotation.replace("typing.", ""):
        names = names.removesuffix("]").replace(",", "|") + ("|None" if "Optional[" in annotation else "")
    words = [name.strip().replace("NoneType", "None") for name in names.split("|")]
    return [KINDS[word] for word in words] if all(word in KINDS for word in words) else None


def _is(value: Any, kind: Kind) -> bool:
    # To Python, True is a whole number.
    return isinstance(value, kind.types) and (bool in kind.types or not isinstance(value, bool))
