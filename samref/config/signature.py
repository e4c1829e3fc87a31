"""Constructors' parameters, read from source files: knowing them must not cost what importing PyTorch costs."""

from __future__ import annotations

import ast
import inspect
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from hydra.utils import get_object

from samref.config.shipped import PACKAGE


class Parameter(NamedTuple):
    """A parameter: its annotation as it is written ("" where there is none), and whether it has no default."""

    annotation: str
    required: bool


Parameters = dict[str, Parameter]
Definition = ast.ClassDef | ast.FunctionDef


def parameters(target: str) -> Parameters:
    """What a `_target_` is called with.

    Args:
        target: dotted path of a class or function. Those of this package are read without being imported.

    Returns:
        The parameters by name, in order.

    Raises:
        ImportError: if there is no such module or nothing of this name in it; what importing other packages raises.
    """
    module, _, name = target.rpartition(".")
    if not is_own(target):
        return _imported(target)
    found = _definition(module, name)
    if found is None:
        raise ImportError(f"there is no {target}")
    return _of_function(found[1]) if isinstance(found[1], ast.FunctionDef) else _of_class(*found)


def is_own(target: str) -> bool:
    """Whether a dotted path is of this package."""
    return target.split(".")[0] == PACKAGE.name


def _imported(target: str) -> Parameters:
    found = inspect.signature(get_object(target)).parameters
    return {
        name: Parameter(_written(parameter.annotation), parameter.default is inspect.Parameter.empty)
        for name, parameter in found.items()
    }


def _written(annotation: object) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


@lru_cache
def _tree(module: str) -> ast.Module | None:
    path = Path(PACKAGE.parent, *module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return ast.parse(file.read_text(encoding="utf-8"))
    return None


def _definition(module: str, name: str) -> tuple[str, Definition] | None:
    """A class or function and the module in which it stands, which another may have imported it from."""
    tree = _tree(module)
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                if (alias.asname or alias.name) == name and node.module.split(".")[0] == PACKAGE.name:
                    return _definition(node.module, alias.name)
    return None


def _of_class(module: str, definition: Definition) -> Parameters:
    assert isinstance(definition, ast.ClassDef)
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            own = _of_function(node)
            own.pop(next(iter(own)))
            return own
    inherited: Parameters = {}
    for base in definition.bases:
        found = _definition(module, base.id) if isinstance(base, ast.Name) else None
        if found is not None:
            inherited = _of_class(*found)
            break
    return {**inherited, **_fields(definition)} if _is_dataclass(definition) else inherited


def _of_function(definition: ast.FunctionDef) -> Parameters:
    arguments = definition.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + [*arguments.defaults, *arguments.kw_defaults]
    return {
        each.arg: Parameter(ast.unparse(each.annotation) if each.annotation else "", default is None)
        for each, default in zip([*positional, *arguments.kwonlyargs], defaults, strict=True)
    }


def _is_dataclass(definition: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in definition.decorator_list)


def _fields(definition: ast.ClassDef) -> Parameters:
    return {
        node.target.id: Parameter(ast.unparse(node.annotation), node.value is None)
        for node in definition.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
