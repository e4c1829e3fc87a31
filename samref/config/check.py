"""What a composed configuration is checked for, all at once, before anything slow is imported: kinds, ranges, paths."""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from samref.config.compose import unused_groups
from samref.config.mistakes import in_a_sentence
from samref.config.paths import EXPECTED, path_problem
from samref.config.reference import option_keys
from samref.config.signature import parameters
from samref.config.validate import part_problems, run_option_problems
from samref.errors import ConfigError

# Filled in by the runner.
ASIDE = ("logger", "trainer")


def check_config(cfg: DictConfig, paths: bool = True) -> None:
    """Checks every option whose kind, range or path is known without importing what is built by it.

    Args:
        cfg: composed configuration.
        paths: whether to look for the files and folders that are read.

    Raises:
        ConfigError: naming each option, what it is and what is expected.
    """
    problems: list[str] = []
    try:
        for problem in _problems(cfg, paths):
            problems.append(problem)
    except OmegaConfBaseException as error:
        # A part that somebody took away, ~dataset, or an interpolation of one.
        raise ConfigError("; ".join(problems) or in_a_sentence(error)) from error
    if problems:
        raise ConfigError("; ".join(problems))


def _problems(cfg: DictConfig, paths: bool) -> Iterator[str]:
    yield from run_option_problems(cfg)
    aside = {*ASIDE, *unused_groups(cfg.refiner)}
    for group in cfg:
        if group not in aside:
            yield from part_problems(cfg[group], imports=False)
    for group in ("dataset", "backbone", "adaption", "refiner") if paths else ():
        yield from _path_problems(cfg, group)


def _path_problems(cfg: DictConfig, group: str) -> Iterator[str]:
    node = cfg.get(group)
    if not OmegaConf.is_dict(node) or not node.get("_target_"):
        return
    option = str(cfg.hydra_choices.get(group))
    for key, kind, required in _path_parameters(str(node._target_)):
        value = node.get(key)
        meaning = option_keys(group, option).get(key, "")
        if value is None and required:
            yield f"{group}={option} needs {group}.{key}={'FILE' if kind == 'InputFile' else 'DIR'}: {meaning}"
        elif isinstance(value, str):
            problem = path_problem(f"{group}.{key}=", value, kind, meaning)
            if problem:
                yield problem


def _path_parameters(target: str) -> Iterator[tuple[str, str, bool]]:
    """Name and kind of each parameter that is a path to read, and whether it has no default."""
    try:
        found = parameters(target)
    except (ImportError, AttributeError, ValueError, TypeError):
        # Building it says what is wrong with the target.
        return
    for name, (annotation, required) in found.items():
        for kind in set(annotation.replace(" ", "").split("|")) & set(EXPECTED):
            yield name, kind, required
