"""The layout of the sources for the tests of the project and of the reading path: files, rooms, floors, imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "minipost"
MODULES = sorted(PACKAGE.rglob("*.py"))
LESSON_CODE = sorted(path for name in ("experiments", "tools") for path in (ROOT / "lessons" / name).rglob("*.py"))
TEXTS = {path: path.read_text(encoding="utf-8") for path in [*MODULES, *LESSON_CODE]}
TREES = {path: ast.parse(text) for path, text in TEXTS.items()}

ORDER: tuple[tuple[str, ...], ...] = (  # floors, from numbers to story; on a floor, from left to right
    ("errors", "files", "kernels"),
    ("autograd",),
    ("losses", "text", "model"),
    ("machine", "config", "runs", "world", "data", "interop"),
    ("stages",),
    ("report", "laws"),
    ("tour", "doctor", "cli", "completion", "__main__"),
)
FLOORS: dict[str, int] = {name: floor for floor, names in enumerate(ORDER) for name in names}
PLACES: dict[str, int] = {name: place for place, name in enumerate(name for names in ORDER for name in names)}


def room(module: str) -> str:
    """`minipost.stages.ppo` lives in the room `stages`."""
    return module.split(".")[1] if "." in module else ""


def name_of(path: Path) -> str:
    """The dotted name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in MODULES}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a file imports, also inside functions and under TYPE_CHECKING.
    `from a import b` yields `a.b`."""
    return _imported(path, ast.walk(TREES[path]))


def imports_at_once(path: Path) -> Iterator[tuple[int, str]]:
    """The same, but only those that run when the module is imported."""
    return _imported(path, _statements(TREES[path].body))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported, those in `if` and `try` included."""
    for node in body:
        yield node
        if isinstance(node, ast.Try) or (isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test)):
            yield from _statements(node.body)
            yield from _statements(node.orelse)


def _imported(path: Path, nodes: Iterator[ast.AST] | Iterator[ast.stmt]) -> Iterator[tuple[int, str]]:
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *(node.module or "").split(".")]).strip(".")
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def imported_module(target: str) -> str:
    """The module that an imported name belongs to: `minipost.text.Tokenizer` is in `minipost.text`."""
    while target and target not in FILES:
        target = target.rpartition(".")[0]
    return target


def import_closure(module: str) -> set[Path]:
    """Every file of the package that Python reads when it imports `module`, the packages above each included."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if not name or name in seen:
            continue
        seen.add(name)
        waiting.append(name.rpartition(".")[0])
        waiting += [imported_module(target) for _, target in imports_at_once(FILES[name])]
    return {FILES[name] for name in seen}
