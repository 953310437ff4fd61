"""A lesson's output: a figure, a sentence with numbers in it, a table, the source of one of the package's functions.

The same call serves three readers. In a notebook it displays; on the page (made from an executed notebook) it becomes
Markdown and a file in `figures/`; in a plain `python lesson.py` it prints, and saves the figure among the run folders.
In a notebook each output carries a note in its metadata, from which the page is made; see `page.py`.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import importlib
import inspect
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from lessons.experiments.lab import default_root
from minipost.errors import UserError

NOTE = "minipost"  # our key in the metadata of an output


class LessonError(UserError):
    """An error that keeps a lesson, its page or its exercises from working."""


def show(figure: Any, name: str, alt: str) -> None:
    """Show a Matplotlib figure. `name` becomes its file's name; `alt` describes in a sentence or two what one sees."""
    if not alt.strip():
        raise LessonError(f"The figure {name} has no alt text; say in a sentence what one sees in it.")
    from minipost.report.style import png  # imports Matplotlib, which most commands do not need

    path = default_root() / "figures" / lesson_name() / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    png(figure, path)
    if in_notebook():
        image = base64.b64encode(path.read_bytes()).decode()
        _display({"image/png": image, "text/plain": alt}, {"figure": name, "alt": alt})
    else:
        print(f"figure: {_near(path)}")


def say(text: str) -> None:
    """A sentence or more, in Markdown, with numbers from this run in it: `say(f"The loss fell to {loss:.2f}.")`."""
    text = textwrap.dedent(text).strip()
    if in_notebook():
        _display({"text/markdown": text, "text/plain": text}, {})
    else:
        print(text)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A small table. Cells are written with `str`: format numbers yourself. Numbers are aligned to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *cells]) for i in range(len(header))]
    right = [all(_numeric(row[i]) for row in cells) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (w + 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True))
    say("\n".join([line(header), f"|{rule}|", *map(line, cells)]))


def source_of(thing: Callable[..., Any], *, docstring: bool = True) -> None:
    """Show the package's own source of a function, class or method. The page goes stale when that source changes."""
    target = inspect.unwrap(thing)
    name, code = f"{target.__module__}:{target.__qualname__}", source_text(thing, docstring)
    path = f"{target.__module__.replace('.', '/')}.py"
    if not in_notebook():
        print(f"# {path}\n{code}")
        return
    markdown = f"```python\n# {path}\n{code}\n```"
    note = {"shows": name, "hash": source_hash(name)}
    _display({"text/markdown": markdown, "text/plain": f"# {path}\n{code}"}, note)


def source_text(thing: Callable[..., Any], docstring: bool = True) -> str:
    """The source as written, moved to the left margin."""
    code = textwrap.dedent(inspect.getsource(inspect.unwrap(thing))).rstrip()
    defined = ast.parse(code).body[0]
    assert isinstance(defined, ast.FunctionDef | ast.ClassDef)
    if docstring or ast.get_docstring(defined) is None:
        return code
    first, lines = defined.body[0], code.splitlines()
    return "\n".join(lines[: first.lineno - 1] + lines[first.end_lineno :])


def source_hash(name: str) -> str:
    """A hash of the source of `module:qualified.name`; "gone" if it no longer exists."""
    module, _, path = name.partition(":")
    try:
        thing: Any = importlib.import_module(module)
        for part in path.split("."):
            thing = getattr(thing, part)
        return hashlib.sha256(inspect.getsource(inspect.unwrap(thing)).encode()).hexdigest()[:12]
    except (ImportError, AttributeError):
        return "gone"


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def lesson_name() -> str:
    """The folder of the script that runs."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(file).resolve().parent.name if file else "interactive"


def _near(path: Path) -> Path:
    """Relative to the current folder where that is shorter."""
    relative = Path(os.path.relpath(path))
    return path if relative.parts[:1] == ("..",) else relative


def _numeric(cell: str) -> bool:
    return not cell.strip("+-−–.,0123456789e% \N{NARROW NO-BREAK SPACE}")


def _display(data: dict[str, str], note: dict[str, str]) -> None:
    from IPython.display import display

    display(data, raw=True, metadata={NOTE: note})
