"""Constructors' parameters, read from source files: knowing them must not cost what importing PyTorch costs."""

from __future__ import annotations

import ast
import inspect
from functools import lru_cache
from pathlib import Path

from hydra.utils import get_object

from samref.config.shipped import PACKAGE

Parameters = dict[str, str]
Definition = ast.ClassDef | ast.FunctionDef


def parameters(target: str) -> Parameters:
    """What a `_target_` is called with.

    Args:
        target: dotted path of a class or function. Those of this package are read without being imported.

    Returns:
        For each parameter its annotation as it is written, "" where there is none.

    Raises:
        ImportError: if there is no such module or nothing of this name in it; what importing other packages raises.
    """
    module, _, name = target.rpartition(".")
    if module.split(".")[0] != PACKAGE.name:
        return _imported(target)
    found = _definition(module, name)
    if found is None:
        raise ImportError(f"there is no {target}")
    return _of_function(found[1]) if isinstance(found[1], ast.FunctionDef) else _of_class(*found)


def _imported(target: str) -> Parameters:
    found = inspect.signature(get_object(target)).parameters
    return {name: _written(parameter.annotation) for name, parameter in found.items()}


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
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return {each.arg: ast.unparse(each.annotation) if each.annotation else "" for each in every}


def _is_dataclass(definition: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in definition.decorator_list)


def _fields(definition: ast.ClassDef) -> Parameters:
    return {
        node.target.id: ast.unparse(node.annotation)
        for node in definition.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
