"""Constructors' parameters are read from the source as `inspect` finds them in the imported class."""

import inspect
import re

import pytest
from hydra.utils import get_object

from samref.config.shipped import config_dir
from samref.config.signature import parameters

TARGETS = sorted(
    set(re.findall(r"_target_: (samref\.[\w.]+)", "\n".join(path.read_text() for path in config_dir().rglob("*.yaml"))))
)


@pytest.mark.parametrize("target", TARGETS)
def test_the_source_says_what_inspect_does(target):
    found = {
        name: "" if parameter.annotation is inspect.Parameter.empty else parameter.annotation
        for name, parameter in inspect.signature(get_object(target)).parameters.items()
        if parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    }
    assert {name: re.sub(r"\s|['\"]", "", text) for name, (text, _) in parameters(target).items()} == {
        name: re.sub(r"\s|['\"]", "", str(annotation)) for name, annotation in found.items()
    }


@pytest.mark.parametrize("target", TARGETS)
def test_what_has_a_default_need_not_be_given(target):
    found = inspect.signature(get_object(target)).parameters
    required = {name for name, parameter in found.items() if parameter.default is inspect.Parameter.empty}
    assert {name for name, (_, needed) in parameters(target).items() if needed} == required


def test_other_packages_are_imported():
    found = parameters("fractions.Fraction.limit_denominator")
    assert found == {"self": ("", True), "max_denominator": ("", False)}


@pytest.mark.parametrize("target", ["samref.nothing.Here", "samref.refiners.guard.Nothing", "nowhere.Class"])
def test_what_is_not_there_is_an_import_error(target):
    with pytest.raises(ImportError):
        parameters(target)
