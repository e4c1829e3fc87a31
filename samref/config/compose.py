"""Composing the configuration in `conf/`, for Python callers and for tests; `run.py` lets Hydra do the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os.path import expanduser
from typing import Any

from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from samref.config.load import load
from samref.config.mistakes import explained, in_a_sentence, normalized, unreadable
from samref.config.reference import known_keys
from samref.config.signature import parameters
from samref.config.validate import check_part
from samref.errors import ConfigError, SamrefError

GROUPS = (
    "dataset", "backbone", "prompts", "adaption", "refiner", "network", "schedule", "training", "preset", "experiment",
)  # fmt: skip
REFINER_KEYS = ("iterations", "selection", "cascade", "mining", "chunk_size")


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """The configuration that `python run.py OVERRIDES` would run with.

    It may be called in threads, in notebooks and in programs that are Hydra applications themselves: nothing of theirs
    is read or changed.

    Raises:
        ConfigError: for an unknown group, option or key.
    """
    words = [normalized(word, expanduser) for word in overrides]
    if sentence := unreadable(words):
        raise ConfigError(sentence)
    try:
        cfg = load(words)
    # Hydra lets some values through to its own code's plain errors: prompts=3, a lone bracket.
    except (HydraException, OmegaConfBaseException, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConfigError(explained(error, words, known_keys)) from error
    choices = cfg.hydra.runtime.choices
    with open_dict(cfg):
        del cfg["hydra"]
    return with_choices(cfg, choices)


def with_choices(cfg: DictConfig, choices: Mapping[str, Any]) -> DictConfig:
    """Adds to a composed configuration which option of each group it was composed from, for the record.

    Groups that the refiner has no use for are left out: dense CRF must not appear to have been run with a backbone.

    Raises:
        ConfigError: if there is no refiner.
    """
    try:
        left_out = unused_groups(cfg.refiner)
    except OmegaConfBaseException as error:
        raise ConfigError(in_a_sentence(error)) from error
    with open_dict(cfg):
        cfg.hydra_choices = {
            group: choices[group] for group in GROUPS if choices.get(group) is not None and group not in left_out
        }
    return cfg


def unused_groups(refiner: DictConfig) -> set[str]:
    """The groups among `backbone`, `prompts`, `adaption` that a refiner's constructor does not take."""
    try:
        wanted = parameters(str(refiner.get("_target_", "")))
    except (ImportError, AttributeError, ValueError, TypeError):
        # Building the refiner says what is wrong with it.
        return set()
    # Adaption moves the predicted IoUs of candidates; only a refiner that takes prompts chooses among them.
    needs = {"backbone": "backbone", "prompts": "prompts", "adaption": "prompts"}
    return {group for group, parameter in needs.items() if parameter not in wanted}


def compose_options(
    backbone: str,
    prompts: str = "all",
    preset: str | None = None,
    guard: bool = False,
    verdict: bool = False,
    zoom: bool = False,
    clean: bool = False,
    overrides: Sequence[str] = (),
    **options: Any,
) -> DictConfig:
    """The configuration behind `SAMRefiner.from_pretrained`.

    Args:
        backbone: option of the group `backbone`.
        prompts: option of the group `prompts`.
        preset: option of the group `preset`, or None.
        guard: whether implausible refinements give way to their coarse masks.
        verdict: whether it is decided mask by mask what comes out.
        zoom: whether small objects, and those of large images, are refined in crops around them.
        clean: whether crumbs and pinholes that the model made are removed.
        overrides: more, in the command line's grammar.
        **options: keys of `refiner`.

    Raises:
        ConfigError: for an unknown option.
    """
    unknown = set(options) - set(REFINER_KEYS)
    if unknown:
        known = ", ".join(("prompts", "preset", "guard", "verdict", "zoom", "clean", "overrides", *REFINER_KEYS))
        raise ConfigError(f"unknown option {', '.join(sorted(unknown))}; expected some of {known}")
    chosen = [f"backbone={backbone}", f"prompts={prompts}"]
    switches = {"guard": guard, "verdict": verdict, "zoom": zoom, "clean": clean}
    chosen += [f"{part}.enabled={on}" for part, on in switches.items()]
    chosen += [f"+preset={preset}"] if preset else []
    return compose_config([*chosen, *(f"refiner.{key}={value}" for key, value in options.items()), *overrides])


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain Python values, with every interpolation resolved.

    Raises:
        ConfigError: for an interpolation of what is not there.
    """
    try:
        container = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(in_a_sentence(error)) from error
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def build(cfg: DictConfig, **parts: Any) -> Any:
    """Instantiates a part of the configuration; our own errors come out as they are, not wrapped by Hydra."""
    try:
        check_part(cfg, replaced=parts)
        return instantiate(cfg, **parts)
    except (HydraException, OmegaConfBaseException) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, SamrefError):
            cause = cause.__cause__
        if cause is None:
            raise ConfigError(" ".join(str(error).split())) from error
        raise cause from None
