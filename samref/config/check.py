"""What a composed configuration is checked for before anything slow is imported."""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

from samref.config.paths import EXPECTED, path_problem
from samref.config.reference import option_keys
from samref.config.signature import parameters
from samref.errors import ConfigError


def check_paths(cfg: DictConfig) -> None:
    """Looks for everything that a composed configuration reads.

    Raises:
        ConfigError: naming each path that is not there, with its option and what is expected.
    """
    problems = [*_problems(cfg)]
    if problems:
        raise ConfigError("; ".join(problems))


def _problems(cfg: DictConfig) -> Iterator[str]:
    for group in ("dataset", "backbone", "adaption", "refiner"):
        node = cfg.get(group)
        if not OmegaConf.is_dict(node) or not node.get("_target_"):
            continue
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
