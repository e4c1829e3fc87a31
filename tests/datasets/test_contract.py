"""What others read of a data set's samples stands in `SampleMeta`, and is there as it says."""

import ast
from pathlib import Path

import numpy as np
import pytest

import samref
from samref.datasets.dataset import SampleMeta
from tests.datasets.test_inputs import MAKERS

PACKAGE = Path(samref.__file__).parent
PER_MASK = ("categories", "files", "labels", "records", "positions", "objects")


def keys_read(tree):
    """Keys of anything called `meta` that are read: meta["key"], meta.get("key"), "key" in meta."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and _is_meta(node.value):
            yield _text(node.slice)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_meta(node.func.value):
            yield _text(node.args[0])
        elif isinstance(node, ast.Compare) and _is_meta(node.comparators[0]):
            yield _text(node.left)


def _is_meta(node):
    return isinstance(node, ast.Attribute) and node.attr == "meta"


def _text(node):
    assert isinstance(node, ast.Constant) and isinstance(node.value, str), ast.dump(node)
    return node.value


def test_what_others_read_of_meta_is_all_in_the_contract():
    others = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[:1] != ("datasets",)]
    sources = [PACKAGE / "datasets" / "sources" / "verify.py", *others]
    read = {key for path in sources for key in keys_read(ast.parse(path.read_text(encoding="utf-8")))}
    assert read == set(SampleMeta.__annotations__)


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_of_each_mask_has_one_entry_a_mask(tmp_path, make):
    data = make(tmp_path / "data")
    for index in range(len(data)):
        sample = data[index]
        for key in set(PER_MASK) & set(sample.meta):
            assert len(sample.meta[key]) == len(sample.masks), key
        assert all(isinstance(sentence, str) for sentence in sample.meta.get("warnings", ()))
        assert {"coarse"} <= set(sample.meta) or data.protocol != "semantic"
        assert np.ndim(sample.meta.get("coarse", [[0]])) == 2
