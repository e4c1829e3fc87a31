"""Overrides that cannot be read, or name what there is not, are answered by what was probably meant."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from samref.config.compose import compose_config
from samref.config.mistakes import in_shell, normalized, quoted, unreadable
from samref.config.nearest import did_you_mean, nearest
from samref.config.paths import path_problem
from samref.errors import ConfigError

# What folders are called, and what means something to Hydra, to OmegaConf or to a shell.
NAMES = st.text(st.sampled_from("ab é=,(){}[]#'\"\\$~:;*?!%&|<>@^`+-._/\t"), min_size=1).filter(
    lambda name: not name.startswith("~")
)


def value_of(word):
    override = OverridesParser.create().parse_override(word)
    return OmegaConf.create({"key": override.value()}).key


@given(NAMES.filter(lambda name: "\\${" not in name))
def test_a_quoted_text_is_read_as_it_is(name):
    assert value_of(f"key={quoted(name)}") == name


@given(NAMES.filter(lambda name: "\\${" not in name))
def test_what_is_shown_can_be_pasted_into_a_shell(name):
    (word,) = shlex.split(in_shell(f"key={name}"))
    assert value_of(word) == (name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'" else name)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("experiment=demo", "+experiment=demo"),
        ("+experiment=demo", "+experiment=demo"),
        ("preset=released", "+preset=released"),
        ("prompts=box", "prompts=box"),
        ("dataset.images=~/a b", 'dataset.images="/home/me/a b"'),
        ("dataset.images='~/a'", 'dataset.images="/home/me/a"'),
        ("dataset.images=~", 'dataset.images="/home/me"'),
        ("dataset.images=a~b", "dataset.images=a~b"),
        ("~guard", "~guard"),
        ("--multirun", "--multirun"),
    ],
)
def test_words_get_their_plus_and_their_home(word, expected):
    assert normalized(word, lambda path: path.replace("~", "/home/me", 1)) == expected


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("dataset.images=a(1)", "needs quotes twice: 'dataset.images=\"a(1)\"'"),
        ('dataset.images="a', "needs quotes twice: "),
        ("folder", "folder is no option; expected KEY=VALUE or GROUP=OPTION"),
        ("a b", "a b is no option"),
    ],
)
def test_what_hydra_cannot_read_is_shown_as_it_can(word, sentence):
    assert sentence in unreadable(["prompts=box", word])
    assert unreadable(["prompts=box", "dataset.images='a(1)'"]) is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["prompts=pointbox"],
            "there is no prompts=pointbox; did you mean prompts=point_box? expected one of all, box",
        ),
        (["refiner.iteration=2"], "there is no option refiner.iteration; did you mean refiner.iterations?"),
        (["gamma=2"], "there is no option gamma; did you mean prompts.mask.gamma?"),
        (["zzz=2"], "there is no option zzz; samref run --help lists them; a new one is added by +KEY=VALUE"),
        (["~guards"], "there is no option guards; did you mean guard?"),
        (["dataset=folder", "dataset.root=x"], "dataset.root is an option of dataset=big or "),
        (
            ["dataset=folder", "dataset.images=a,b"],
            "as text it is 'dataset.images=\"a,b\"'; several values are a sweep",
        ),
        (["+seed=3"], "Could not append to config. An item is already at 'seed'"),
        (["prompts=3"], "Config group override must be a string or a list"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_python_callers_get_the_same_sentences(words, sentence):
    with pytest.raises(ConfigError) as caught:
        compose_config(words)
    assert sentence in str(caught.value)
    assert "_shared" not in str(caught.value) and "\n" not in str(caught.value)


def test_the_nearest_words_come_best_first_and_nothing_like_it_is_nothing():
    assert nearest("refin", ["run", "refine", "app"]) == ["refine"]
    assert nearest("backbone.wights", ["backbone.weights", "backbone.name", "seed"]) == ["backbone.weights"]
    assert nearest("xyz", ["run", "refine"]) == []
    assert did_you_mean("vith", ["vit_h", "vit_b"], "backbone={}") == "did you mean backbone=vit_h?"


def test_paths_are_looked_for_by_kind(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "images").mkdir()
    (tmp_path / "file.json").write_text("{}")
    assert path_problem("", str(tmp_path / "images"), "InputFolder") is None
    assert path_problem("", "~/images", "InputFolder") is None
    assert path_problem("", "~/file.json", "InputPath") is None
    assert (
        path_problem("a=", "~/file.json", "InputFolder", "images") == "a=~/file.json is not a folder; expected images"
    )
    assert path_problem("a=", "~/imags", "InputFolder") == f"a=~/imags is not a folder (there is {tmp_path}/images)"
    assert path_problem("a=", "~/no/where", "InputFile") == "a=~/no/where is not a file"
