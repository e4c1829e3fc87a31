"""`samref run` and `python run.py` are one command."""

import re

import pytest
from omegaconf import OmegaConf

from samref.cli.main import main
from samref.config.reference import groups, option_keys, options, run_keys
from tests.processes import ROOT, forked, python


@pytest.mark.parametrize("command", [[str(ROOT / "run.py")], ["-m", "samref", "run"]], ids=["run.py", "samref run"])
@pytest.mark.parametrize("word", ["experiment=rounds", "+experiment=rounds"])
def test_both_take_an_experiment_with_and_without_its_plus(tmp_path, command, word):
    done = python(*command, word, "preset=released", "--cfg", "job", "seed=3", cwd=tmp_path)
    cfg = OmegaConf.create(done.stdout)
    assert (cfg.name, cfg.form, cfg.seed) == ("rounds", "released", 3), done.stderr
    assert not list(tmp_path.iterdir())


def test_a_report_names_the_command_that_made_it(tmp_path):
    words = ["backbone=tiny", "dataset.length=1", "dataset.size=[64,80]", "callbacks.progress=false", "logger=none"]
    for command in ([str(ROOT / "run.py")], ["-m", "samref", "run"]):
        done = forked(*command, *words, "force=true", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("loading tiny ...\n")
        (report,) = tmp_path.glob("outputs/evaluate/*/report.json")
        name = "python run.py" if "run.py" in command[0] else "samref run"
        assert f'"command": "{name} backbone=tiny' in report.read_text()


def test_help_lists_every_group_with_its_options_and_every_key_with_its_meaning(capsys):
    named = [group for group in groups() if group not in ("dataset", "experiment", "preset")]
    assert main(["run", "--help", "dataset=folder", "adaption=iou_lora", *named]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for group, meaning in groups().items():
        assert f"{group} {meaning}" in text
        assert all(re.search(rf"\b{option}\b", text) for option in options(group))
    chosen = {"dataset": "folder", "adaption": "iou_lora", "backbone": "mobile_sam", "prompts": "all"}
    for group in named:
        for key, meaning in option_keys(group, chosen.get(group, "default")).items():
            assert " ".join(meaning.split()) in text, key
    for key, meaning in run_keys().items():
        assert f"{key}=" in text and meaning in text
    assert "dataset.images=null folder of the images" in text
    assert not re.search(r"[ .|]_\w", text), "what begins with _ is nobody's to choose"


def test_help_shows_the_values_that_the_words_before_it_lead_to(capsys):
    assert main(["run", "dataset=davis585", "prompts", "--help", "preset=released"]) == 0
    text = capsys.readouterr().out
    assert "prompts.box.lam=0 " in text and "prompts.mask.omega=30 " in text and "dataset.init=sp" in text


def test_help_for_what_is_not_there_is_one_sentence(capsys):
    assert main(["run", "--help", "promts"]) == 1
    assert capsys.readouterr().err == "error: there is no group promts; did you mean prompts?\n"


@pytest.mark.parametrize("group", [group for group in groups() if group not in ("experiment", "preset")])
def test_every_key_of_the_configuration_says_what_it_means(group):
    assert groups()[group]
    for option in options(group):
        keys = option_keys(group, option)
        parents = {key.rpartition(".")[0] for key in keys}
        unsaid = [key for key, meaning in keys.items() if not meaning and key not in parents]
        # Further recipes have the keys of the first; patterns are explained together.
        assert not [key for key in unsaid if not key.startswith(("recipes.", "patterns."))], option
    assert all(run_keys().values())
