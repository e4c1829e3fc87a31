import shutil

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from samref.backbones.cache import CachedBackbone
from samref.backbones.open import keeps_embeddings, open_backbone
from samref.backbones.tiny import TinySam
from samref.config.compose import compose_config
from samref.config.shipped import config_dir
from samref.engine.identity import fingerprint
from samref.errors import ConfigError
from samref.refiners.samrefiner import SAMRefiner


def opened(*overrides):
    return open_backbone(compose_config(["backbone=tiny", *overrides]).backbone, device="cpu")


@pytest.fixture
def sweeping(monkeypatch):
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: sweep_of(config_dir()))


def sweep_of(folder):
    return OmegaConf.create({"mode": RunMode.MULTIRUN, "runtime": {"config_sources": [{"path": str(folder)}]}})


def test_a_single_run_keeps_no_embeddings():
    assert isinstance(opened(), TinySam)


def test_a_sweep_does(sweeping):
    assert isinstance(opened(), CachedBackbone)
    assert isinstance(opened("backbone.cache=false"), TinySam)


def test_a_sweep_of_somebody_elses_program_does_not(sweeping, monkeypatch, tmp_path):
    monkeypatch.setattr(HydraConfig, "get", lambda: sweep_of(tmp_path))
    assert isinstance(opened(), TinySam)


@pytest.fixture
def room(monkeypatch):
    """What a disk offers, in bytes."""

    def set_free(size):
        usage = shutil.disk_usage("/")._replace(free=size)
        monkeypatch.setattr("samref.backbones.open.shutil.disk_usage", lambda path: usage)

    set_free(10**12)
    return set_free


def kept(images, *overrides):
    return keeps_embeddings(compose_config(["backbone=vit_h", "backbone.device=cpu", *overrides]).backbone, images)


def test_a_single_run_keeps_embeddings_that_another_look_is_likely_to_use(room):
    assert kept(1) and kept(500)
    assert not kept(501), "a second look at so many is less likely, and would cost much space"
    assert not kept(None), "calls from Python"
    assert not kept(49, "backbone.cache=false")
    assert kept(10**6, "backbone.cache=true")
    assert not keeps_embeddings(compose_config(["backbone=tiny"]).backbone, 49), "as fast encoded as read"


def test_a_single_run_leaves_the_disk_its_room(room):
    room(10 * 49 * 21_200_000 - 1)
    assert not kept(49)
    room(10 * 49 * 21_200_000)
    assert kept(49)


def test_a_gpu_encodes_again(room, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert not keeps_embeddings(compose_config(["backbone=vit_h", "backbone.device=cuda"]).backbone, 49)


def test_either_can_be_chosen():
    assert isinstance(opened("backbone.cache=true"), CachedBackbone)
    assert isinstance(opened("backbone.cache_precision=fp16"), CachedBackbone)


def test_python_callers_can_choose_it_too():
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
