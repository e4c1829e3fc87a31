import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class

from samref.backbones.open import CacheOptions
from samref.backbones.weights.registry import CHECKPOINTS
from samref.config.compose import compose_config

FOLDER = Path(__file__).parents[2] / "conf" / "backbone"
OPTIONS = sorted(path.stem for path in FOLDER.glob("[!_]*.yaml"))


def test_there_is_an_option_for_all_published_weights():
    assert set(CHECKPOINTS) <= set(OPTIONS)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_options_keys_are_the_constructors_arguments_and_those_of_the_cache(option):
    config = compose_config([f"backbone={option}"]).backbone
    backbone = get_class(config._target_)
    assert set(config) - {"_target_"} == {*inspect.signature(backbone).parameters, *CacheOptions.__annotations__}
    assert config.name == option
