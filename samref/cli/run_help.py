"""What `samref run --help` prints: the groups, and what the keys of those that were chosen mean."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from samref.config.nearest import did_you_mean
from samref.config.reference import flat, groups, option_keys, options, run_keys
from samref.errors import ConfigError

GROUP_WIDTH = 14
KEY_WIDTH = 38
WIDEST = 140

USAGE = """\
usage: samref run [GROUP=OPTION ...] [KEY=VALUE ...] [-m]

One evaluation, or with -m a sweep over all values that are separated by commas:
  samref run dataset=davis585 dataset.root=DIR prompts=box_mask backbone=vit_h
  samref run -m dataset=davis585 dataset.root=DIR prompts=box,all prompts.mask.omega=5,15
  samref run experiment=demo               an experiment brings its own sweep
"""
FLAGS = """\
Flags:
  -m, --multirun        sweep
  --cfg job             print the configuration instead of running it
  --config-dir DIR      a folder with options of your own
  --info, --hydra-help  what Hydra says, which composes the configuration

Values with spaces or any of = ( ) # , ' need quotes twice: 'dataset.images="My Data (1)"'. `samref refine` needs none.
"""


def run_help(words: Sequence[str]) -> str:
    """The text.

    Args:
        words: overrides, which choose whose keys are described, and names of groups to describe beside the data set.

    Raises:
        ConfigError: for overrides that do not compose, or an unknown group.
    """
    from omegaconf import OmegaConf

    from samref.config.compose import compose_config

    meanings = groups()
    named = [word for word in words if "=" not in word and not word.startswith("-")]
    for word in named:
        if word not in meanings:
            raise ConfigError(f"there is no group {word}; {did_you_mean(word, meanings) or ', '.join(meanings)}")
    cfg = compose_config([word for word in words if "=" in word])
    tree = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(tree, dict)
    settings = {str(key): value for key, value in tree.items()}
    chosen = {str(key): str(value) for key, value in cfg.hydra_choices.items()}
    parts = [USAGE, "Groups (the option that is chosen now stands first):", *_groups(meanings, chosen)]
    for group in dict.fromkeys(["dataset", *named]):
        names = _options(group, chosen, settings)
        title = f"{group}={','.join(names)}" if names else group
        parts += ["", f"Keys of {title}:", *_keys(group, names, settings)]
    others = [group for group in meanings if group in settings and group not in ("dataset", *named)]
    more = f"The keys of {', '.join(others)}, and of another data set: samref run --help {' '.join(others[1:3])} "
    parts += ["", "Keys of the run itself:", *_described(run_keys(), settings)]
    parts += ["", *_wrapped(f"{more}dataset=coco", "")]
    return "\n".join([*parts, "", FLAGS])


def _groups(meanings: Mapping[str, str], chosen: Mapping[str, str]) -> Iterator[str]:
    for group, meaning in meanings.items():
        listed = sorted(options(group), key=lambda option: option != chosen.get(group))
        yield from _row(f"  {group}", meaning, GROUP_WIDTH)
        yield from _wrapped(" | ".join(listed), " " * (GROUP_WIDTH + 2))


def _options(group: str, chosen: Mapping[str, str], settings: Mapping[str, object]) -> list[str]:
    """The options a group was composed from: several loggers can be chosen, each under its own name."""
    if group in chosen:
        return [chosen[group]]
    node = settings.get(group)
    named = [name for name in options(group) if isinstance(node, Mapping) and name in node]
    return named or [name for name in ("default", "none") if name in options(group)]


def _keys(group: str, names: Sequence[str], settings: Mapping[str, object]) -> Iterator[str]:
    node = settings.get(group)
    comments = {key: comment for name in names for key, comment in option_keys(group, name).items()}
    keys = [key.partition(".")[2] for key, _ in flat({group: node})] if node and isinstance(node, Mapping) else []
    parents = [key for key, comment in comments.items() if comment and any(k.startswith(f"{key}.") for k in keys)]
    rows = sorted({*keys, *parents}, key=lambda key: [*comments, *keys].index(key))
    yield from _described({f"{group}.{key}": comments.get(key, "") for key in rows}, settings)


def _described(comments: Mapping[str, str], settings: Mapping[str, object]) -> Iterator[str]:
    values = {key: value for key, value in flat(settings) if not (value and isinstance(value, Mapping))}
    for key, comment in comments.items():
        yield from _row(f"  {key}={_shown(values[key])}" if key in values else f"  {key}:", comment, KEY_WIDTH)


def _shown(value: object) -> str:
    """A value as it is typed."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{','.join(map(_shown, value))}]" if isinstance(value, list) else str(value)


def _row(left: str, right: str, width: int) -> Iterator[str]:
    lines = textwrap.wrap(right, max(20, _columns() - width - 2), break_on_hyphens=False)
    if len(left) > width or not lines:
        yield left
        left = ""
    for line in lines:
        yield f"{left:<{width}}  {line}"
        left = ""


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _columns(), initial_indent=indent, subsequent_indent=indent)


def _columns() -> int:
    return min(shutil.get_terminal_size().columns, WIDEST)
