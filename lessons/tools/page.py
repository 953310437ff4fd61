"""From a lesson's script to its page: Jupytext reads the cells, a kernel runs them once, nbconvert writes Markdown.

    lessons/07_reward_model/lesson.py        the only source
                            README.md        the page, made from it, with a mark of what it was made from
                            figures/*.png    its figures
    build/lessons/07_reward_model.ipynb      the executed notebook, for download; not committed

The mark is an HTML comment at the page's top: a hash of `lesson.py`, and one of every function whose source the page
shows. A page whose mark no longer fits is stale; to see that, nothing has to run.

What cells write to stderr (progress, "reusing ...") is not on the page: it differs from run to run.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lessons.experiments.lab import default_root
from lessons.tools.display import NOTE, LessonError, source_hash

CELL_SECONDS = 900  # no cell of a lesson may take longer
MARK = re.compile(r"<!-- (made from|shows) (\S+) ([0-9a-f]{12}|gone) -->")


def build(folder: Path, notebooks: Path) -> Path:
    """Run the lesson in `folder` once; write its page and figures there, and its notebook into `notebooks`."""
    if os.environ.get("MINIPOST_FAST") == "1":
        raise LessonError("MINIPOST_FAST=1 is set, and a page shows what full settings give: unset it to build.")
    notebook = executed(folder)
    _drop_stderr(notebook)
    notebooks.mkdir(parents=True, exist_ok=True)
    _library("nbformat").write(notebook, str(notebooks / f"{folder.name}.ipynb"))
    marks = [("made from", "lesson.py", script_hash(folder)), *sorted(set(_shown(notebook)))]
    figures = _figures_as_links(notebook)
    text, _ = _library("nbconvert").MarkdownExporter().from_notebook_node(notebook)
    mark = "\n".join(f"<!-- {kind} {name} {digest} -->" for kind, name, digest in marks)
    _write_figures(folder / "figures", figures)
    page = folder / "README.md"
    page.write_text(f"{mark}\n\n{_tidied(text)}\n", encoding="utf-8")
    return page


def stale(folder: Path) -> str:
    """Why the page in `folder` no longer fits its sources; an empty string if it does. Runs nothing."""
    page = folder / "README.md"
    if not page.is_file():
        return f"{folder.name} has no page"
    text = page.read_text(encoding="utf-8")
    marks = MARK.findall(text)
    if not any(kind == "made from" for kind, *_ in marks):
        return f"{folder.name}'s page does not say what it was made from"
    for kind, name, digest in marks:
        current = script_hash(folder) if kind == "made from" else source_hash(name)
        if current != digest:
            return f"{name} has changed since {folder.name}'s page was made"
    missing = [name for name in re.findall(r"\]\((figures/[^)]+)\)", text) if not (folder / name).is_file()]
    return f"{folder.name}'s page shows {missing[0]}, which is not there" if missing else ""


def script_hash(folder: Path) -> str:
    return hashlib.sha256((folder / "lesson.py").read_bytes()).hexdigest()[:12]


def executed(folder: Path) -> Any:
    """The notebook of a lesson with its outputs. It runs in the lesson's own folder, as it does in Jupyter."""
    notebook = _library("jupytext").read(folder / "lesson.py")
    nbclient = _library("nbclient")
    client = nbclient.NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        with _environment(MINIPOST_LESSONS=str(default_root().resolve()), MPLBACKEND="Agg", PYTHONHASHSEED="0"):
            client.execute()
    except nbclient.exceptions.CellExecutionError as error:
        raise LessonError(
            f"A cell of {folder.name}/lesson.py failed; run it as a script to see where. {error}"
        ) from None
    return notebook


def _library(name: str) -> Any:
    """Import a package of the extra `lessons`; `LessonError` if it is not installed."""
    try:
        return __import__(name)
    except ImportError:
        raise LessonError(
            f"Building pages needs {name}, which is not installed: pip install 'minipost[lessons]'."
        ) from None


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables during a block; a kernel that starts in it inherits them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _outputs(notebook: Any) -> Iterator[tuple[Any, dict[str, str]]]:
    """Every displayed output that has our note, with the note."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "display_data" and NOTE in output.metadata:
                yield output, output.metadata[NOTE]


def _shown(notebook: Any) -> Iterator[tuple[str, str, str]]:
    yield from (("shows", note["shows"], note["hash"]) for _, note in _outputs(notebook) if "shows" in note)


def _drop_stderr(notebook: Any) -> None:
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if not (o.output_type == "stream" and o.name == "stderr")]


def _figures_as_links(notebook: Any) -> dict[str, bytes]:
    """Replace every figure by a Markdown link to its file; the files' contents by name."""
    figures: dict[str, bytes] = {}
    for output, note in _outputs(notebook):
        if "figure" in note:
            name = f"{note['figure']}.png"
            if name in figures:
                raise LessonError(f"Two figures of this lesson are called {note['figure']}; give one another name.")
            figures[name] = base64.b64decode(output.data["image/png"])
            alt = " ".join(note["alt"].split()).replace("[", "(").replace("]", ")")
            output.data = {"text/markdown": f"![{alt}](figures/{name})"}
    return figures


def _write_figures(folder: Path, figures: dict[str, bytes]) -> None:
    """Write them, and remove those that the lesson no longer shows."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        if old.name not in figures:
            old.unlink()
    for name, content in figures.items():
        (folder / name).write_bytes(content)


def _tidied(text: str) -> str:
    """At most one empty line in a row, and none with blanks on it."""
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines)
