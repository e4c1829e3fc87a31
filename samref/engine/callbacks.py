"""The callbacks of a run that the group `callbacks` names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.utils import get_object
from lightning import Callback

from samref.config.compose import build
from samref.engine.run_config import Part
from samref.errors import ConfigError, SamrefError


def build_callbacks(callbacks: Mapping[str, Part], known: Mapping[str, Any]) -> Iterator[Callback]:
    """Builds callbacks.

    Args:
        callbacks: by name.
        known: what a run knows and a configuration cannot hold, by the name of the argument that takes it.

    Raises:
        ConfigError: for a part that cannot be built.
    """
    for name, part in callbacks.items():
        # Partial, because Hydra would turn what is a dataclass among the arguments into a configuration.
        make = build(part, _partial_=True)
        arguments = inspect.signature(get_object(str(part._target_))).parameters
        given = {key: value for key, value in known.items() if key in arguments and part.get(key) is None}
        try:
            callback: Callback = make(**given)
        except SamrefError:
            raise
        except Exception as error:  # of somebody else's class
            raise ConfigError(f"callbacks.{name}: {' '.join(str(error).split())}") from error
        yield callback
