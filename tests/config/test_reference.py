"""What is read from the files in `conf/` is what composing them gives."""

from omegaconf import OmegaConf

from samref.config.compose import compose_config
from samref.config.reference import flat, known_keys


def test_known_keys_are_those_of_the_composed_configuration():
    composed = OmegaConf.to_container(compose_config([]))
    composed.pop("hydra_choices")
    assert sorted(known_keys()) == sorted(key for key, _ in flat(composed))
