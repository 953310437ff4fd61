"""The shape of the project: floors, sizes, and what may be imported where.

The floors are those of CONTRIBUTING.md. A module may import from its own room, from lower floors, and from rooms to its
left on its own floor: that is what lets a reader start anywhere and only ever look down.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from layout import FILES, FLOORS, MODULES, PACKAGE, PLACES, ROOT, TEXTS, TREES, imported_module, imports, name_of, room

import minipost

LIMITS = {"lines of a file": 400, "lines of a function": 60, "lines of the package": 21_850}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Every set of modules that import each other, each set once."""
    reachable: dict[str, set[str]] = {}
    for start in graph:
        seen, waiting = set[str](), [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        reachable[start] = seen
    found = {tuple(sorted(b for b in reachable[a] if a in reachable[b])) for a in graph if a in reachable[a]}
    return [list(members) for members in sorted(found)]


def every_import() -> Iterator[tuple[Path, int, str]]:
    return ((path, line, target) for path in MODULES for line, target in imports(path))


def test_every_module_has_a_floor() -> None:
    homeless = {room(name_of(path)) for path in MODULES} - set(FLOORS) - {""}
    assert not homeless, f"give {sorted(homeless)} a floor here and in CONTRIBUTING.md"


def test_contributing_lists_the_same_floors() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = {
        name.strip("/"): int(floor)
        for floor, names in re.findall(r"^\| (\d+) \| ([^|]*) \|", text, re.MULTILINE)
        for name in re.findall(r"`([^`]*)`", names)
    }
    assert listed == {name: floor for name, floor in FLOORS.items() if name != "__main__"}


def test_imports_go_strictly_downward() -> None:
    wrong = []
    for path, line, target in every_import():
        here, there = room(name_of(path)), room(target) if target.startswith("minipost.") else ""
        if there not in FLOORS or here == there:
            continue
        if here not in PLACES or PLACES[there] >= PLACES[here]:
            wrong.append(f"{path.relative_to(ROOT)}:{line} imports {target}, which stands above it or beside it")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", sorted({room(name) for name in FILES} - {""}))
def test_no_modules_of_a_room_import_each_other_in_a_circle(name: str) -> None:
    graph = {
        name_of(path): {imported_module(target) for _, target in imports(path)}
        for path in MODULES
        if room(name_of(path)) == name
    }
    assert not circles({module: targets & set(graph) for module, targets in graph.items()})


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}, "e": {"a"}}) == [["b", "c"], ["d"]]


def test_a_stage_never_imports_a_stage() -> None:
    """A stage is a module of `stages/` with a `command`; what they share stands beside them, and knows none."""
    rooms = {path: tree.body for path, tree in TREES.items() if path.parent == PACKAGE / "stages"}
    stages = {
        name_of(path)
        for path, body in rooms.items()
        if any(isinstance(node, ast.FunctionDef) and node.name == "command" for node in body)
    }
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {target}"
        for path, line, target in every_import()
        if path in rooms and path.name != "__init__.py" and stages & {target, target.rpartition(".")[0]}
    ]
    assert not wrong, "\n".join(wrong)


def test_only_kernels_import_numba() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {target}"
        for path, line, target in every_import()
        if target.split(".")[0] in ("numba", "llvmlite") and not path.is_relative_to(PACKAGE / "kernels")
    ]
    assert not wrong, "\n".join(wrong)


def test_files_are_small() -> None:
    """A small file is a kindness. Tables of data are the exception: a file that is one literal may be long."""
    long = []
    for path, text in TEXTS.items():
        is_code = any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.walk(TREES[path]))
        if is_code and text.count("\n") > LIMITS["lines of a file"]:
            long.append(f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines")
    assert not long, "\n".join(long)


def test_functions_are_small() -> None:
    """Fewer lines than the limit from `def` to the end, the docstring included."""
    long = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                lines = node.end_lineno - node.lineno + 1
                if lines >= LIMITS["lines of a function"]:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {lines} lines")
    assert not long, "\n".join(long)


def test_the_package_is_small() -> None:
    assert sum(TEXTS[path].count("\n") for path in MODULES) <= LIMITS["lines of the package"]


def test_every_module_says_what_it_is() -> None:
    silent = [str(path.relative_to(ROOT)) for path, tree in TREES.items() if not ast.get_docstring(tree)]
    assert not silent, silent


@pytest.mark.parametrize("path", [path for path in MODULES if ">>> " in TEXTS[path]], ids=name_of)
def test_examples_in_docstrings_are_true(path: Path) -> None:
    module = importlib.import_module(name_of(path))
    failed, tried = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried and not failed


def test_no_global_randomness() -> None:
    """Randomness is an argument: no module draws from NumPy's or Python's global generator."""
    drawn = re.compile(
        r"\bnp\.random\.(?!Generator|default_rng|SeedSequence|PCG64|BitGenerator)\w+|\brandom\.(?:seed|random|choice|shuffle|randint)\("
    )
    wrong = []
    for path in MODULES:
        for line, text in enumerate(TEXTS[path].splitlines(), 1):
            if (found := drawn.search(text)) and "rng.random." not in text and "self." not in text:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {found[0]}")
    assert not wrong, "\n".join(wrong)


def test_typed_and_versioned() -> None:
    assert (PACKAGE / "py.typed").is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" in project["dynamic"], "the version is written in minipost/__init__.py only"


def test_every_supported_python_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    matrix = re.search(r"^ +python: \[(.*)\]$", workflow, re.MULTILINE)
    assert matrix is not None
    pythons = re.findall(r'"([\d.]+)"', matrix[1])
    assert pythons == re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert project["requires-python"] == f">={pythons[0]}"


def test_the_lowest_versions_are_those_of_the_project() -> None:
    done = subprocess.run([sys.executable, ROOT / ".ci/lowest.py"], capture_output=True, text=True, check=True)
    lowest = dict(line.split("==") for line in done.stdout.splitlines())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in (*project["dependencies"], *project["optional-dependencies"]["laws"]):
        name, bound = requirement.split(">=")
        assert lowest[name].startswith(bound) and lowest[name].endswith(".*")
    assert "ruff" not in lowest and "torch" not in lowest


def test_changelog_citation_and_version_agree() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+)\](.*)$", changelog, re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    version, date = headings[1][0], headings[1][1].removeprefix(" - ")
    assert version == minipost.__version__
    assert f"\nversion: {version}\ndate-released: {date}\n" in citation


def test_changelog_lists_nothing_twice() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for section in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        subjects = re.findall(r"^- (`.+?`)[:,]", section, re.MULTILINE)
        assert len(subjects) == len(set(subjects)), subjects


def test_the_tree_in_readme_is_true() -> None:
    """It lists every room and every module beside them, from the lowest floor up, and folders that exist."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = re.search(r"^minipost/\n((?:.+\n)+?)```", readme, re.MULTILINE)
    assert tree is not None
    inside = re.findall(r"^  ([\w.]+/?) ", tree[1], re.MULTILINE)
    beside = re.findall(r"^(\w+/) ", tree[1], re.MULTILINE)
    rooms = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    files = {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    assert sorted(inside) == sorted(rooms | files)
    assert inside == sorted(inside, key=lambda name: PLACES[name.removesuffix("/").removesuffix(".py")])
    assert beside and all((ROOT / name).is_dir() for name in beside)


def test_readme_commands_match_the_project() -> None:
    """The commands for a fresh machine (the tour, the tests, the first lesson) name what exists."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    commands = re.findall(r"^python3 -m venv .*$", readme, re.MULTILINE)
    assert len(commands) == 3 and (ROOT / commands[2].split()[-1]).is_file()
    assert all(extra in project["optional-dependencies"] for extra in re.findall(r"\[(\w+)\]\"", "".join(commands)))
    assert set(re.findall(r"\.venv/bin/(\w+)", commands[0])) == {"pip", *project["scripts"]}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_no_caches_or_environments_are_committed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    junk = re.compile(
        r"(^|/)(__pycache__|\.venv|\.hypothesis|\.\w+_cache|build|dist|runs)/|\.(pyc|nbi|nbc)$|\.egg-info/"
    )
    assert not [name for name in listed if junk.search(name) and not name.startswith(("minipost/runs/", "tests/runs/"))]


def test_importing_the_package_is_cheap() -> None:
    """`import minipost` and the report's front door load neither Numba nor Matplotlib."""
    code = "import sys, minipost, minipost.report; print(sorted({'numba', 'matplotlib'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
