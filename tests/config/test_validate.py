"""Options of another kind are one sentence that names the option, what it is and what it should be."""

from copy import deepcopy

import pytest
from omegaconf import OmegaConf

from samref.config.compose import build, compose_config
from samref.config.validate import kind_problems
from samref.engine import runner
from samref.errors import ConfigError, SamrefError
from tests.factories import make_folder

# Text is right there, or anything that the library behind it takes.
FREE = ("name", "backbone.device", "dataset_protocol", "paths", "trainer.accelerator", "trainer.devices")


def leaves(node):
    for key, value in node.items():
        if OmegaConf.is_dict(value):
            yield from leaves(value)
        elif not key.startswith("_"):
            yield node._get_full_key(key)


@pytest.mark.parametrize(
    "chosen", [["dataset=scenes", "adaption=iou_lora"], ["dataset=folder", "+preset=released"]], ids=str
)
def test_every_number_and_switch_of_the_configuration_refuses_text(tmp_path, chosen):
    data = make_folder(tmp_path / "data", names=["a"])
    folders = [f"dataset.{key}={data / key}" for key in ("images", "masks", "output")]
    base = ["backbone=tiny", *chosen, *(folders if "dataset=folder" in chosen else ["dataset.length=1"])]
    base += [f"paths.outputs={tmp_path / 'out'}", "callbacks.progress=false"]
    cfg = compose_config(base)
    options = [key for key in leaves(cfg) if isinstance(OmegaConf.select(cfg, key), int | float)]
    options = [key for key in options if not key.startswith(FREE)]
    assert len(options) > 20
    for option in options:
        message, wrong = "", deepcopy(cfg)
        OmegaConf.update(wrong, option, "abc")
        try:
            runner.run(wrong)
        except SamrefError as error:
            message = str(error)
        assert message.startswith(f"{option} is 'abc'; expected "), (option, message)
        assert "\n" not in message
    assert not list(tmp_path.rglob("report.json"))


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("limit=abc", "limit is 'abc'; expected a whole number or null"),
        ("seed=-3", "seed is -3; expected 0 or more"),
        ("seed=4294967296", "seed is 4294967296; expected less than 4294967296"),
        ("num_workers=1.5", "num_workers is 1.5; expected a whole number"),
        ("num_workers=true", "num_workers is True; expected a whole number"),
        ("save_masks=1", "save_masks is 1; expected true or false"),
        ("prompts.mask.omega=null", "prompts.mask.omega is null; expected a number"),
        ("prompts.box.lam=[1]", "prompts.box.lam is [1]; expected a number"),
        ("trainer.accelerator=abacus", "trainer.accelerator is abacus but the model is on "),
        ("trainer.devices=abc", "trainer: `devices` selected with"),
    ],
)
def test_the_sentence_says_what_was_found_and_what_was_expected(tmp_path, override, sentence):
    with pytest.raises(ConfigError) as caught:
        runner.run(compose_config(["backbone=tiny", "dataset.length=1", f"paths.outputs={tmp_path}", override]))
    assert str(caught.value).startswith(sentence)


def test_all_mistakes_are_answered_at_once(tmp_path):
    wrong = ["limit=abc", "seed=-3", "save_masks=1", "prompts.mask.omega=null", "dataset.length=x", "zoom.enabled=2"]
    with pytest.raises(ConfigError) as caught:
        runner.run(compose_config(["backbone=tiny", f"paths.outputs={tmp_path}", *wrong]))
    assert [sentence.split(" is ")[0] for sentence in str(caught.value).split("; ")[::2]] == [
        "limit", "save_masks", "seed", "dataset.length", "prompts.mask.omega", "zoom.enabled",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "taken",
    ["seed", "limit", "refiner", "dataset", "backbone", "guard", "prompts.mask", "callbacks", "paths", "trainer"],
)
def test_what_is_taken_away_is_missed_in_one_sentence(tmp_path, taken):
    places = [f"paths.outputs={tmp_path}"] * (taken != "paths.outputs")
    base = ["backbone=tiny"] * (taken != "backbone") + ["dataset.length=1"] * (taken != "dataset")
    with pytest.raises(ConfigError) as caught:
        runner.run(compose_config([*base, *places, f"~{taken}"]))
    assert taken.rpartition(".")[2] in str(caught.value)
    assert "\n" not in str(caught.value)


class Part:
    def __init__(self, size: int, ratio: float = 0.5, anything: "list[int] | None" = None) -> None:
        self.size, self.ratio, self.anything = size, ratio, anything


@pytest.mark.parametrize(
    ("annotation", "value", "right"),
    [
        ("int | None", None, True),
        ("typing.Optional[int]", None, True),
        ("typing.Optional[int]", 2.5, False),
        ("typing.Union[int, str]", "a", True),
        ("Union[int, str, NoneType]", True, False),
        ("Path | None", "a/b", True),
        ("InputFolder | None", 3, False),
        ("float", 1, True),
        ("float", True, False),
        ("Sequence[int]", "anything", True),
        ("typing.Optional[typing.List[int]]", "anything", True),
    ],
)
def test_annotations_are_read_as_they_are_written(annotation, value, right):
    problems = list(kind_problems(OmegaConf.create({"key": value}), {"key": annotation}))
    assert (not problems) == right


def test_what_annotations_do_not_restrict_is_the_constructors():
    node = {"_target_": f"{__name__}.Part", "size": 3, "ratio": 2, "anything": [1]}
    assert build(OmegaConf.create(node)).ratio == 2
    with pytest.raises(ConfigError, match=r"inner\.size is 2\.0; expected a whole number"):
        build(OmegaConf.create({"_target_": "builtins.dict", "inner": {**node, "size": 2.0}}))
