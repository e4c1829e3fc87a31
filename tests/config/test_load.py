"""What is kept of a composition gives what Hydra gives from nothing: values, choices and errors."""

import shutil

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from samref.config import load as loading
from samref.config.load import load
from samref.config.shipped import config_dir


def hydras(words):
    loader = ConfigLoaderImpl(create_config_search_path(str(config_dir())))
    return loader.load_configuration("config", list(words), RunMode.RUN, from_shell=False)


def outcome(function, words):
    try:
        cfg = function(words)
    except Exception as error:
        return type(error), str(error), type(error.__cause__), str(error.__cause__)
    choices = OmegaConf.to_container(cfg.hydra.runtime.choices)
    with open_dict(cfg):
        del cfg["hydra"]
    return OmegaConf.to_yaml(cfg), choices, OmegaConf.is_struct(cfg)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dataset=coco", "+preset=released", "limit=3", "prompts.mask.omega=7"],
        ["+experiment=davis_ablation", "refiner=best_of", "refiner.hypotheses=[crm]"],
        ["~guard", "~prompts=all", "~refiner.iterations"],
        ["limit=1", "limit=2", "prompts=box"],
        ["+trainer.precision=bf16", "++a.b=3", "+callbacks.x._target_=a.B"],
        ["prompts.mask={omega: 4}", "dataset={length: 3}"],
        ["hydra.run.dir=x", "hydra/launcher=joblib"],
        # What does not go.
        ["limt=3"],
        ["+limit=3"],
        ["prompts=bix"],
        ["prompts=box", "prompts=point"],
        ["prompts=all,box"],
        ["prompts.mask.omega=1,2"],
        ["prompts@foo=all"],
        ["limit@x=3"],
        ["~prompts=box"],
        ["~dataset.nothing"],
        ["prompts=[all]"],
        ["seed="],
        ["=x"],
    ],
    ids=" ".join,
)
def test_words_give_what_hydra_gives(words):
    expected = outcome(hydras, words)
    assert outcome(load, words) == expected
    assert outcome(load, words) == expected, "a second time, from what was kept"


def test_changing_a_configuration_changes_no_other():
    first = load(["prompts=box"])
    first.seed, first.prompts.box.lam = 7, 9
    again = load(["prompts=box"])
    assert (again.seed, again.prompts.box.lam) == (0, hydras(["prompts=box"]).prompts.box.lam)


def test_a_file_that_is_edited_is_read_again(tmp_path, monkeypatch):
    shutil.copytree(config_dir(), tmp_path / "conf")
    monkeypatch.setattr(loading, "config_dir", lambda: tmp_path / "conf")
    path = tmp_path / "conf" / "refiner" / "samrefiner.yaml"
    before = load([]).refiner.iterations
    path.write_text(path.read_text().replace(f"iterations: {before}", f"iterations: {before + 10}"))
    assert load([]).refiner.iterations == before + 10
