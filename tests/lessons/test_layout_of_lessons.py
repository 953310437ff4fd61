"""The layout of the lessons' tools, the experiments and benchmarks: no circles of imports, small files, docstrings."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("lessons/tools", "lessons/experiments", "benchmarks")
FILES = {
    ".".join((path.parent if path.stem == "__init__" else path.with_suffix("")).relative_to(ROOT).parts): path
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def imports_of(tree: ast.Module) -> set[str]:
    """The modules of these rooms that a module imports, also inside of functions."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in FILES else node.module for name in inner}
    return names & set(FILES)


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter({name: imports_of(tree) for name, tree in TREES.items()}).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_circle_that_a_test_would_see() -> None:
    tree = ast.parse("def f():\n    from lessons.tools import page\n    import benchmarks.chart, numpy")
    assert imports_of(tree) == {"lessons.tools.page", "benchmarks.chart"}
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_a_docstring_few_lines_and_short_functions(name: str) -> None:
    tree = TREES[name]
    assert ast.get_docstring(tree)
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) < 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno + 1 < 60, node.name
        elif isinstance(node, ast.Name):
            assert node.id != "TYPE_CHECKING"
