"""`samref run [group=option ...] [key=value ...]`: one evaluation, or a sweep. `python run.py` is the same."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING

from samref.cli.cluster import cluster_problem
from samref.cli.run_help import run_help
from samref.errors import ConfigError, SamrefError

if TYPE_CHECKING:
    import argparse

    from omegaconf import DictConfig

HELP = ("-h", "--help")
RUN_DIR = "hydra.run.dir"
UNCHOSEN = "."  # its value in conf/config.yaml


def main(words: Sequence[str]) -> int:
    """Runs what the overrides describe.

    Args:
        words: overrides in Hydra's grammar, and Hydra's own flags.

    Returns:
        Exit code.

    Raises:
        SamrefError: for overrides that make no sense, and for anything else that the user can fix.
    """
    if set(HELP) & set(words):
        print(run_help([word for word in words if word not in HELP]))
        return 0
    from hydra._internal.utils import get_args_parser
    from hydra.errors import CompactHydraException
    from omegaconf.errors import OmegaConfBaseException

    from samref.config.mistakes import explained, in_a_sentence, normalized, unreadable
    from samref.config.reference import known_keys

    parser = get_args_parser()
    parser.prog = _program()
    arguments = parser.parse_intermixed_args(list(words))
    arguments.overrides = [normalized(word, expanduser) for word in arguments.overrides]
    if sentence := unreadable(arguments.overrides):
        raise ConfigError(sentence)
    with _full_errors() as wanted:
        try:
            _hydra(parser, arguments)
        except Exception as error:
            if wanted:
                raise
            if sentence := cluster_problem(error):
                raise ConfigError(sentence) from error
            if _raised_by_a_job(error):
                if isinstance(error, CompactHydraException | OmegaConfBaseException):
                    raise ConfigError(in_a_sentence(error)) from error
                raise
            # Hydra lets some values through to its own code's plain errors: prompts=3.
            raise ConfigError(explained(error, arguments.overrides, known_keys)) from error
    return 0


def one_job(cfg: DictConfig) -> float | None:
    """What Hydra runs once, or once for each job of a sweep. Returns the number that a sweeper optimizes."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import CompactHydraException
    from hydra.types import RunMode

    from samref.cli.job import run_job
    from samref.config.compose import with_choices

    context = HydraConfig.get()
    sweep = context.mode == RunMode.MULTIRUN
    command = " ".join([_program(), *context.overrides.task])
    first = not sweep or context.job.num == 0
    number = None
    try:
        composed = with_choices(cfg, context.runtime.choices)
        folder = None if sweep else _chosen_folder(context.run.dir, context.overrides.hydra)
        sentence, number = run_job(composed, command, announce=first, brief=sweep, folder=folder)
    except SamrefError as error:
        sentence = str(error)
    if sentence is not None and sweep:
        # The sweep's other jobs still run, and it ends with an exit code that says so.
        raise CompactHydraException(sentence)
    if sentence is not None:
        # Hydra would print an exception in its own way first.
        print(f"error: {sentence}", file=sys.stderr)
        sys.exit(1)
    return number


def _chosen_folder(run_dir: str, overrides: Iterable[str]) -> Path | None:
    """The folder that the user chose for a single run's results, or None."""
    typed = any(word.partition("=")[0] == RUN_DIR for word in overrides)
    return Path(run_dir) if typed or run_dir != UNCHOSEN else None


def _hydra(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """What `hydra.main` does, with arguments that need not be the process's."""
    from hydra import version
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import _run_hydra, create_config_search_path
    from hydra.core.global_hydra import GlobalHydra

    from samref.config.load import VERSION_BASE
    from samref.config.shipped import config_dir

    version.setbase(VERSION_BASE)
    if not _is_one_job(arguments):
        _run_hydra(arguments, parser, one_job, str(config_dir()), "config")
        return
    # Hydra would compose all once more, only to find out that this is no sweep.
    try:
        hydra = Hydra.create_main_hydra2("samref", create_config_search_path(str(config_dir())))
        hydra.run("config", one_job, arguments.overrides)
    finally:
        GlobalHydra.instance().clear()


def _is_one_job(arguments: argparse.Namespace) -> bool:
    """Whether no flag and no override can make a sweep of it: experiments may be sweeps."""
    flagged = any(value for name, value in vars(arguments).items() if name != "overrides")
    keys = (word.partition("=")[0].lstrip("+~") for word in arguments.overrides)
    return not flagged and not any(key.startswith("hydra") or key == "experiment" for key in keys)


def _raised_by_a_job(error: Exception) -> bool:
    return any(frame.f_code is one_job.__code__ for frame, _ in traceback.walk_tb(error.__traceback__))


@contextmanager
def _full_errors() -> Iterator[bool]:
    """Has Hydra hand errors on in place of printing them in its own, longer way; yields whether the user wants that."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield bool(before)
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]


def _program() -> str:
    return "python run.py" if Path(sys.argv[0]).name == "run.py" else "samref run"
