"""The house: imports between the rooms of `samref/` run down, over few floors, and nothing lies about in between."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import samref

PACKAGE = Path(samref.__file__).parent
LOOSE = {"structures", "errors", "stopwatch"}
# What users and scripts import or run; they stand before the house and import what they open.
DOORS = {"__init__", "__main__", "runner"}
FLOORS = 8
# Seconds to import, each.
SLOW = {"lightning", "torchmetrics", "torchvision"}


def room(module):
    """The room of `samref.room.module`; None for other packages."""
    parts = module.split(".")
    return parts[1] if parts[0] == "samref" and len(parts) > 1 else None


def imported(path):
    """All modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            # `from samref import errors` names a room behind the import.
            yield from (f"{node.module}.{name.name}" for name in node.names)


def rooms_below(package):
    """For each room, the rooms that its modules import."""
    below = {}
    for path in sorted(package.rglob("*.py")):
        own = path.relative_to(package).with_suffix("").parts[0]
        if own not in DOORS:
            found = {room(module) for module in imported(path)} - {None, own}
            below.setdefault(own, set()).update(found)
    return below


def floors(below):
    """For each room its floor, from 1; raises `graphlib.CycleError` where imports run in a circle."""
    found = {}
    for name in TopologicalSorter(below).static_order():
        found[name] = 1 + max((found[other] for other in below.get(name, ())), default=0)
    return found


def test_imports_run_down_over_few_floors():
    found = floors(rooms_below(PACKAGE))
    assert max(found.values()) <= FLOORS, sorted(found.items(), key=lambda item: item[1])


def test_nothing_is_loose():
    assert {path.stem for path in PACKAGE.glob("*.py")} <= LOOSE | DOORS


def test_no_room_enters_by_a_door():
    assert not {(own, door) for own, others in rooms_below(PACKAGE).items() for door in DOORS & others}


def imported_with(module):
    """All modules that importing one of ours imports with it; functions and type checkers import their own."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        path = PACKAGE.parent / name.replace(".", "/")
        path = next(filter(Path.is_file, (path.with_suffix(".py"), path / "__init__.py")), None)
        if name not in found and path is not None:
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.Import):
                    waiting += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found.add(name)
    return found


def test_processes_that_read_images_wait_for_no_trainer_and_no_metrics():
    for path in sorted((PACKAGE / "datasets").rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        if name != "samref.datasets.datamodule":
            slow = {module for module in imported_with(name) if module.split(".")[0] in SLOW}
            assert not slow, f"{name} imports {slow}"


def test_lazy_imports_count(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.py").write_text("def f():\n    from samref.b.y import z\n    import samref.c.w\n")
    (tmp_path / "b.py").write_text("from samref import c\n")
    assert rooms_below(tmp_path) == {"a": {"b", "c"}, "b": {"c"}}
    assert floors(rooms_below(tmp_path)) == {"c": 1, "b": 2, "a": 3}
