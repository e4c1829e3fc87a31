"""Hydra's composition of `conf/`, read again only for another choice of options or when a file has changed."""

from __future__ import annotations

import pickle
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import ClassVar

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from samref.config.shipped import config_dir

VERSION_BASE = "1.3"

# Hydra's parser keeps tables that grow while it reads.
_COMPOSING = Lock()


def load(words: Sequence[str]) -> DictConfig:
    """The configuration that Hydra composes for a single run, with its own part `hydra`.

    Which files it is made of depends on the words that choose options alone. What these give is kept, and the words
    that set values are applied to a copy, as Hydra does last: composing again takes a twentieth of the time.

    Args:
        words: overrides in Hydra's grammar.

    Raises:
        HydraException: for what Hydra does not understand.
    """
    with _COMPOSING, _version_base():
        # Resolvers that Hydra's own part of the configuration names.
        setup_globals()
        loader = _loader()
        overrides = OverridesParser.create().parse_overrides(list(words))
        if any("hydra" in override.key_or_group for override in overrides):
            # These may name other folders to search.
            cfg: DictConfig = loader.load_configuration("config", list(words), RunMode.RUN, from_shell=False)
            return cfg
        loader.validate_sweep_overrides_legal(overrides, RunMode.RUN, from_shell=False)
        choices = [override for override in overrides if _chooses(loader, override)]
        cfg = pickle.loads(_of_options(tuple(str(choice.input_line) for choice in choices), _state_of_files()))
        try:
            loader._apply_overrides_to_config([each for each in overrides if each not in choices], cfg)
        except OmegaConfBaseException as error:
            raise ConfigCompositionException from error
        return cfg


def _chooses(loader: ConfigLoaderImpl, override: Override) -> bool:
    """Whether an override chooses an option of a group, by Hydra's own rule."""
    return loader.repository.group_exists(override.key_or_group) and not isinstance(override.value(), dict)


# Pickles, because OmegaConf reads these ten times faster than it copies: 25 kB a composition.
@lru_cache(maxsize=1024)
def _of_options(words: tuple[str, ...], state: Hashable) -> bytes:
    loader = _loader()
    loader.repository = _KeptFiles(loader.config_search_path, state)
    return pickle.dumps(loader.load_configuration("config", list(words), RunMode.RUN, from_shell=False))


class _KeptFiles(ConfigRepository):  # type: ignore[misc]  # Hydra has no types here
    """Hydra's view of the files of the configuration, each of which is parsed once; what it gives may be changed."""

    kept: ClassVar[dict[Hashable, bytes]] = {}

    def __init__(self, path: ConfigSearchPath, state: Hashable) -> None:
        super().__init__(path)
        self.state = state

    def load_config(self, config_path: str) -> ConfigResult | None:
        key = config_path, tuple(source.path for source in self.sources), self.state
        if key not in self.kept:
            self.kept[key] = pickle.dumps(super().load_config(config_path))
        found: ConfigResult | None = pickle.loads(self.kept[key])
        return found


def _loader() -> ConfigLoaderImpl:
    return ConfigLoaderImpl(create_config_search_path(str(config_dir())))


def _state_of_files() -> tuple[tuple[str, int, int], ...]:
    """Changes when a file of the configuration does."""
    files = sorted(config_dir().rglob("*.yaml"))
    return tuple((str(path), status.st_mtime_ns, status.st_size) for path in files for status in [path.stat()])


@contextmanager
def _version_base() -> Iterator[None]:
    """Composes as `run.py` does, whatever `version_base` another application in this process has chosen."""
    base = version.VersionBase.instance()
    before = base.getbase()
    base.setbase(version.Version(VERSION_BASE))
    try:
        yield
    finally:
        # Not by setbase, which refuses what stands there before any choice.
        base.version_base = before
