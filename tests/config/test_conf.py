"""Every option of every group of the configuration composes, and the part it describes can be built."""

import re
from pathlib import Path

import pytest
from lightning import Callback, Trainer
from lightning.pytorch.loggers import Logger
from omegaconf import OmegaConf

from samref.adaption.iou_lora import IouLora
from samref.backbones.open import open_backbone
from samref.config.compose import build, compose_config, plain
from samref.config.shipped import config_dir
from samref.datasets.dataset import MaskDataset
from samref.engine.callbacks import build_callbacks
from samref.engine.parts import build_refiner
from samref.engine.run_config import chosen_callbacks
from samref.engine.training import build_network
from samref.prompts.excavation import Excavator
from samref.refiners.clean import Clean
from samref.refiners.guard import Guard
from samref.refiners.verdict import Verdict
from samref.refiners.zoom import Zoom
from samref.training.networks.network import Network
from samref.training.options import TrainingOptions
from samref.training.schedule import Schedule
from tests.miniatures import make_miniature
from tests.refiners.networks import patch_networks

# Options that need an extra, and its module.
EXTRAS = {
    "cascade_psp": "segmentation_refinement",
    "dense_crf": "pydensecrf",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
}
FOLDERS = sorted(path.name for path in config_dir().iterdir() if path.is_dir())


def options(group):
    """Its files; those that begin with `_` are parts of others."""
    return sorted(path.stem for path in (config_dir() / group).glob("[!_]*.yaml"))


def chosen(group, option, *overrides):
    return compose_config([f"{'+' if group == 'preset' else ''}{group}={option}", *overrides])


def parametrize(group):
    return pytest.mark.parametrize("option", options(group))


@pytest.fixture
def unpublished(monkeypatch):
    """Backbones as they are built when weights are at hand, without the weights."""

    def load(module, name, weights=None, sha256=None):
        if any(parameter.is_meta for parameter in module.parameters()):
            module.to_empty(device="cpu")
        return "0" * 64

    monkeypatch.setattr("samref.backbones.sam_backbone.load_checkpoint", load)


def test_every_folder_of_the_configuration_is_held_by_a_test_here():
    tested = set(re.findall(r'^@parametrize\("(\w+)"\)', Path(__file__).read_text(), re.MULTILINE))
    assert set(FOLDERS) - {"hydra"} == tested | {"experiment"}  # those: tests/integration/test_experiments.py


@parametrize("dataset")
def test_a_data_set_finds_its_images(option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = build(chosen("dataset", option, *make_miniature(option, tmp_path)).dataset)
    assert isinstance(dataset, MaskDataset)
    assert dataset.name == option
    assert len(dataset)
    assert dataset[0].image.shape[2] == 3


@parametrize("backbone")
def test_a_backbone_is_built_and_frozen(option, unpublished, tmp_path):
    config = chosen("backbone", option, "backbone.device=cpu").backbone
    expected = {"tiny": 128}.get(option, 1024)
    if config._target_.startswith("samref.backbones.hf."):
        pytest.importorskip("transformers", reason="the extra hf is not installed")
        from tests.backbones.hf.models import saved_model

        config.weights, expected = saved_model(option, tmp_path)
    backbone = open_backbone(config)
    assert backbone.name == option
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert backbone.img_size == expected


@parametrize("prompts")
def test_prompts_use_what_their_name_says(option):
    excavator = build(chosen("prompts", option).prompts)
    assert isinstance(excavator, Excavator)
    assert set(excavator.use) == ({"point", "box", "mask"} if option == "all" else set(option.split("_")))


@parametrize("dataset_protocol")
def test_the_protocol_of_a_data_set_comes_with_it(option):
    config = chosen("dataset", option)
    assert option in options("dataset")
    protocol = OmegaConf.load(config_dir() / "dataset_protocol" / f"{option}.yaml")
    assert OmegaConf.merge(config, {key: value for key, value in protocol.items() if key != "defaults"}) == config


@parametrize("refiner_protocol")
def test_what_a_refiner_takes_of_label_maps_comes_with_it(option):
    assert option in options("refiner")
    protocol = OmegaConf.load(config_dir() / "refiner_protocol" / f"{option}.yaml")
    assert chosen("refiner", option).regions is protocol.regions is not compose_config(["refiner=dense_crf"]).regions


@parametrize("refiner")
def test_a_refiner_is_built_around_any_backbone(option, tmp_path, monkeypatch):
    if option in EXTRAS:
        pytest.importorskip(EXTRAS[option])
    if option == "cascade_psp":
        monkeypatch.setattr("segmentation_refinement.Refiner", FakeNetwork)
    patch_networks(monkeypatch)
    own = {"external": [f"refiner.masks={tmp_path}"]}
    grid = ["refiner.points_per_side=4"] if option.startswith("grid") else []
    cfg = chosen("refiner", option, "backbone=tiny", "backbone.device=cpu", *own.get(option, grid))
    refiner = build_refiner(cfg.refiner, cfg.backbone, cfg.prompts)
    sample = build(compose_config(["dataset.size=[64,80]", "dataset.length=1"]).dataset)[0]
    if option != "external":
        assert refiner.refine_sample(sample).masks.shape == sample.masks.shape


class FakeNetwork:
    """CascadePSP's, whose weights its package would fetch."""

    def __init__(self, device="cpu", model_folder=None, **_):
        self.device = device

    def refine(self, image, mask, fast, L):
        return mask


@parametrize("guard")
def test_a_guard_is_built_or_is_none(option):
    config = chosen("guard", option).guard
    assert option == "none" if config._target_ is None else isinstance(build(config), Guard)


@parametrize("verdict")
def test_a_verdict_is_built(option):
    assert isinstance(build(chosen("verdict", option).verdict), Verdict)


@parametrize("zoom")
def test_a_zoom_is_built(option):
    assert isinstance(build(chosen("zoom", option).zoom), Zoom)


@parametrize("clean")
def test_what_cleans_is_built(option):
    assert isinstance(build(chosen("clean", option).clean), Clean)


@parametrize("adaption")
def test_an_adaption_is_built_or_is_none(option):
    config = chosen("adaption", option).adaption
    assert option == "none" if config._target_ is None else isinstance(build(config), IouLora)


@parametrize("preset")
def test_a_preset_changes_something_that_can_be_built(option):
    config = chosen("preset", option)
    assert plain(config) != plain(compose_config([]))
    assert isinstance(build(config.prompts), Excavator)
    assert config.form in ("paper", "released")


@parametrize("network")
def test_a_network_is_built_for_classes(option):
    body = [] if option == "mobile_sam_aspp" else ["network.body=resnet18"]
    words = [f"network={option}", "backbone=tiny", "backbone.device=cpu", "network.pretrained=false", *body]
    config = compose_config(["+experiment=voc_training", *words])
    assert config.hydra_choices.schedule == option
    assert isinstance(build_network(config.network, config.backbone, classes=4), Network)


@parametrize("schedule")
def test_a_schedule_is_built_and_warms_up_before_it_ends(option):
    schedule = build(compose_config(["+experiment=voc_training", f"network={option}"]).schedule)
    assert isinstance(schedule, Schedule)
    assert schedule.warmup < schedule.max_steps


@parametrize("training")
def test_what_is_trained_on_names_an_option_of_its_data_set(option):
    config = compose_config([f"+experiment={option}_training"])
    assert config.training.takes in config.dataset
    assert set(config.training.validation) <= set(config.dataset)
    known = [f"training.validation.{key}=X" for key in config.training.validation]
    assert isinstance(build(compose_config([f"+experiment={option}_training", *known]).training), TrainingOptions)


@parametrize("trainer")
def test_a_trainer_is_built(option):
    trainer = build(chosen("trainer", option, "trainer.accelerator=cpu").trainer, logger=False)
    assert isinstance(trainer, Trainer)
    assert trainer.max_epochs is None or trainer.max_epochs > 0


@parametrize("logger")
def test_a_logger_is_built_or_is_none(option, tmp_path):
    if option in EXTRAS:
        pytest.importorskip(EXTRAS[option])
    config = chosen("logger", option).logger
    assert list(config) == ([] if option == "none" else [option])
    for part in config.values():
        assert isinstance(build(part, **({"save_dir": str(tmp_path)} if "save_dir" in part else {})), Logger)


@parametrize("callbacks")
def test_callbacks_are_built_of_what_a_run_knows(option, tmp_path):
    known = {"folder": tmp_path, "seed": 0, "label": "x", "total": 3, "heading": None, "taken_up": None}
    config = chosen("callbacks", option).callbacks
    assert all(isinstance(callback, Callback) for callback in build_callbacks(dict(chosen_callbacks(config)), known))


@parametrize("paths")
def test_paths_are_relative_to_where_a_run_starts(option):
    assert not any(str(path).startswith("/") for path in chosen("paths", option).paths.values())
