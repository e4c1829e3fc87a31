"""Docstrings of what the Python API pages show: every argument, result and error is described."""

import ast
import re
from pathlib import Path

import griffe
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))
DIRECTIVE = re.compile(r"^::: (\S+)\n((?:    .*\n)*)", re.MULTILINE)
MEMBERS = re.compile(r"members: \[(.*)\]")


@pytest.fixture(scope="module")
def package():
    return griffe.load("samref", search_paths=[ROOT], docstring_parser="google")


def directives():
    """What each page shows: (dotted name, names of its members or None for all)."""
    for page in PAGES:
        for name, options in DIRECTIVE.findall(page.read_text(encoding="utf-8") + "\n"):
            members = MEMBERS.search(options)
            yield name, None if members is None else [word.strip() for word in members[1].split(",")]


def shown(node, members=None):
    """An object and all that its page shows below it."""
    yield node
    if node.kind is griffe.Kind.FUNCTION or node.kind is griffe.Kind.ATTRIBUTE:
        return
    for name, child in node.members.items():
        wanted = name in members if members is not None else not name.startswith("_")
        if wanted and not child.is_alias and child.kind is not griffe.Kind.ATTRIBUTE:
            yield from shown(child)


def described(node, kind):
    """Names in a section of a docstring; None where there is no such section."""
    if node.docstring is None:
        return None
    for section in node.docstring.parse("google"):
        if section.kind is kind:
            return {getattr(item, "name", "") for item in section.value}
    return None


def lacking(node):
    """What a docstring does not say, in words."""
    if node.docstring is None:
        yield "docstring"
    elif node.kind is griffe.Kind.CLASS:
        yield from _lacking_of_class(node)
    elif node.kind is griffe.Kind.FUNCTION and not _refers(node):
        yield from _lacking_of_function(node)


def _lacking_of_class(node):
    fields = {name for name, child in node.members.items() if child.kind is griffe.Kind.ATTRIBUTE and child.annotation}
    if "dataclass" in node.labels:
        fields = {name for name in fields if "property" not in node.members[name].labels and not name.startswith("_")}
        missing = fields - (described(node, griffe.DocstringSectionKind.attributes) or set())
        yield from (f"attribute {name}" for name in sorted(missing))
    init = node.members.get("__init__")
    if init is not None and init.kind is griffe.Kind.FUNCTION and "dataclass" not in node.labels:
        known = described(node, griffe.DocstringSectionKind.parameters) or set()
        known |= described(init, griffe.DocstringSectionKind.parameters) or set()
        yield from (f"argument {name}" for name in sorted(_parameters(init) - known))
        if _raises(init) and not any(described(n, griffe.DocstringSectionKind.raises) for n in (node, init)):
            yield "raises"
    if _raises(node.members.get("__post_init__")) and described(node, griffe.DocstringSectionKind.raises) is None:
        yield "raises"


def _lacking_of_function(node):
    known = described(node, griffe.DocstringSectionKind.parameters) or set()
    yield from (f"argument {name}" for name in sorted(_parameters(node) - known))
    # Without arguments, the first sentence is what comes out.
    returns = str(node.returns or "None") if _parameters(node) else "None"
    if returns != "None" and described(node, griffe.DocstringSectionKind.returns) is None:
        yield "returns"
    if _raises(node) and described(node, griffe.DocstringSectionKind.raises) is None:
        yield "raises"


def _parameters(node):
    return {
        ("*" * (parameter.kind is griffe.ParameterKind.var_positional))
        + ("**" * (parameter.kind is griffe.ParameterKind.var_keyword))
        + parameter.name
        for parameter in node.parameters
        if parameter.name not in ("self", "cls")
    }


def _refers(node):
    """Whether a method refers to the protocol or base class that describes it."""
    return re.match(r"See `\w+", node.docstring.value) is not None


def _raises(node):
    """Whether a function raises an error itself."""
    if node is None:
        return False
    return any(isinstance(part, ast.Raise) and part.exc is not None for part in ast.walk(ast.parse(_dedented(node))))


def _dedented(node):
    lines = node.lines
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[indent:] for line in lines)


@pytest.mark.parametrize(("name", "members"), directives(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_argument_result_and_error_is_described(package, name, members):
    node = package[name.removeprefix("samref.")]
    found = [f"{one.path}: {what}" for one in shown(node, members) for what in lacking(one)]
    assert not found, "\n".join(found)


def test_what_is_not_described_is_found(tmp_path):
    (tmp_path / "sample.py").write_text(
        "def good(a: int) -> int:\n"
        '    """Adds.\n\n    Args:\n        a: a number.\n\n    Returns:\n        Another.\n    """\n'
        "    return a\n\n"
        "def bad(a: int, *b: int, **c: int) -> int:\n"
        '    """Adds."""\n'
        "    raise ValueError(a)\n"
    )
    module = griffe.load("sample", search_paths=[tmp_path], docstring_parser="google")
    assert list(lacking(module["good"])) == []
    assert list(lacking(module["bad"])) == ["argument **c", "argument *b", "argument a", "returns", "raises"]
