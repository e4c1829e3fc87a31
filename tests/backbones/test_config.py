import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from samref.backbones.factory import BACKBONES
from samref.backbones.tiny import TinySam

FOLDER = Path(__file__).parents[2] / "conf" / "backbone"
OPTIONS = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def test_there_is_an_option_for_every_backbone():
    assert set(OPTIONS) == {*BACKBONES, "tiny"}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_options_keys_are_the_constructors_arguments(option):
    config = OmegaConf.load(FOLDER / f"{option}.yaml")
    backbone = get_class(config._target_)
    assert set(config) - {"_target_"} == set(inspect.signature(backbone).parameters)
    assert config.name == option
    assert option == "tiny" or backbone is BACKBONES[option]


def test_tiny_is_instantiated():
    assert isinstance(instantiate(OmegaConf.load(FOLDER / "tiny.yaml"), device="cpu"), TinySam)
