import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from samref.backbones.cache import CachedBackbone
from samref.backbones.open import open_backbone
from samref.backbones.tiny import TinySam
from samref.config.compose import compose_config
from samref.engine.job import fingerprint
from samref.errors import ConfigError
from samref.refiners.samrefiner import SAMRefiner


def opened(*overrides):
    return open_backbone(compose_config(["backbone=tiny", *overrides]).backbone, device="cpu")


@pytest.fixture
def sweeping(monkeypatch):
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: OmegaConf.create({"mode": RunMode.MULTIRUN}))


def test_a_single_run_keeps_no_embeddings():
    assert isinstance(opened(), TinySam)


def test_a_sweep_does(sweeping):
    assert isinstance(opened(), CachedBackbone)
    assert isinstance(opened("backbone.cache=false"), TinySam)


def test_either_may_be_asked_for():
    assert isinstance(opened("backbone.cache=true"), CachedBackbone)
    assert isinstance(opened("backbone.cache_precision=fp16"), CachedBackbone)


def test_python_callers_may_ask_for_it_too():
    refiner = SAMRefiner.from_pretrained("tiny", device="cpu", overrides=["backbone.cache=true"])
    assert isinstance(refiner.backbone, CachedBackbone)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["backbone.cache=maybe"], "'maybe'.*auto, true or false"),
        (["backbone.cache=true", "backbone.cache_precision=int4"], "'int4'.*fp32 or fp16"),
        (["backbone.cache=true", "backbone.cache_max_gb=0"], "0; expected a number above 0"),
        (["backbone.cache=false", "backbone.cache_precision=fp16"], "leave out one"),
    ],
)
def test_values_without_meaning_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        opened(*overrides)


def test_a_cache_is_no_other_job_but_rounded_embeddings_are():
    def job(*overrides):
        return fingerprint(OmegaConf.to_container(compose_config(["backbone=tiny", *overrides]), resolve=True))

    assert job() == job("backbone.cache=true") == job("backbone.cache_max_gb=1")
    assert job() != job("backbone.cache_precision=fp16")
