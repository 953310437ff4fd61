"""The tree that Sphinx reads: the project's own pages where they stand, and pages that are made from its modules.

    index.md, play.md, ...           from docs/site/
    docs/  benchmarks/  lessons/     the project's pages, in the folders in which they stand
    lessons/index.md                 the list of lessons
    lessons/NN_*/README.md           the page, then its figures with sliders, and what can be downloaded
    api/minipost.losses.rst          one page a package, from its docstrings

Because the folders are the project's, a link that works on a code host works on the site.
"""

from __future__ import annotations

import json
import pkgutil
import re
import shutil
from pathlib import Path
from typing import Any

import minipost
from lessons.tools.command import title
from lessons.tools.folders import every_lesson
from lessons.tools.site.play import Play
from minipost.report.style import DARK, LIGHT

PAGES = ("docs", "benchmarks", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "CITATION.cff")
HERE = Path(__file__).parent
FLOWCHART = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EDGE = re.compile(r"(\w+)(?:\{.*?\}|\[.*?\])?\s*--(?:\s*(.+?)\s*--)?>\s*(\w+)")
LABEL = re.compile(r"(\w+)[\[({]+\"(.*?)\"[\])}]+")


def assemble(root: Path, tree: Path, plays: list[Play]) -> None:
    """Write the tree for the checkout at `root` into the empty folder `tree`."""
    for name in PAGES:
        if (root / name).is_dir():
            shutil.copytree(root / name, tree / name, ignore=shutil.ignore_patterns("*.py", "__pycache__", "site"))
        elif (root / name).is_file():
            shutil.copy(root / name, tree / name)
    shutil.copytree(root / "docs" / "site", tree, dirs_exist_ok=True)
    static = tree / "_static"
    static.mkdir()
    for name in ("play.js", "site.css", "icon.svg"):
        shutil.copy(HERE / name, static / name)
    (static / "colours.css").write_text(colours(), encoding="utf-8")
    for page in tree.rglob("*.md"):
        text = FLOWCHART.sub(lambda drawing: as_table(drawing[1]), page.read_text(encoding="utf-8"))
        page.write_text(without_folder_links(text, page.parent), encoding="utf-8")
    _lessons(root, tree / "lessons", plays)
    _api(tree / "api")


def colours() -> str:
    """The colours of our figures as CSS, for both of the theme's modes and the one that follows the system."""
    light, dark = ("".join(f"--play-{name}:{value};" for name, value in t.colours.items()) for t in (LIGHT, DARK))
    return (
        f"body{{{light}}}\nbody[data-theme=dark]{{{dark}}}\n"
        f"@media (prefers-color-scheme: dark){{body:not([data-theme=light]){{{dark}}}}}\n"
    )


def without_folder_links(text: str, folder: Path) -> str:
    """A code host lists a folder that a link names; a site of files cannot, so the link's text stays alone."""
    return re.sub(r"\[([^\]]+)\]\(([^)#:]+)\)", lambda link: link[1] if (folder / link[2]).is_dir() else link[0], text)


def as_table(flowchart: str) -> str:
    """A Mermaid flowchart as a table of its arrows.

    A drawing would need a large script from elsewhere; a table is read on a phone, by a screen reader and offline.
    """
    label = {name: text.replace("<br>", " ") for name, text in LABEL.findall(flowchart)}
    arrows = [
        (label.get(start, start), condition.strip('"') or "→", label.get(end, end))
        for line in flowchart.splitlines()
        for start, condition, end in EDGE.findall(line)
    ]
    rows = "\n".join(f"| {start} | {condition} | {end} |" for start, condition, end in arrows)
    return f"| from | if | to |\n|-|-|-|\n{rows}"


# -------------------------------------------------------------------------------------------------------- lessons
def _lessons(root: Path, into: Path, plays: list[Play]) -> None:
    """The lessons that have a page. Notebooks are the executed ones of `build/lessons` if they are there."""
    into.mkdir()
    shutil.copy(root / "lessons" / "WRITING.md", into)
    entries, rows = [], []
    for folder in every_lesson(root / "lessons"):
        if not (folder / "README.md").is_file():
            continue
        target = into / folder.name
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns("__pycache__"))
        executed = root / "build" / "lessons" / f"{folder.name}.ipynb"
        notebook = target / f"{folder.name}.ipynb"
        if executed.is_file():
            shutil.copy(executed, notebook)
        else:
            notebook.write_text(notebook_of(folder / "lesson.py"), encoding="utf-8")
        own = [play for play in plays if play.lesson == int(folder.name[:2])]
        page = target / "README.md"
        page.write_text(lesson_page(page.read_text(encoding="utf-8"), own, _downloads(target)), encoding="utf-8")
        entries.append(f"{folder.name}/README")
        rows.append(f"| [{title(folder)}]({folder.name}/README.md) | {_promise(folder)} |")
    listed = "\n".join(["| Lesson | You will |", "|-|-|", *rows])
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *entries, "```"])
    (into / "index.md").write_text(f"# Lessons\n\n{listed}\n\n{toctree}\n", encoding="utf-8")


def lesson_page(text: str, plays: list[Play], downloads: list[str]) -> str:
    """A lesson's page for the site: as on a code host, then what a code host cannot show."""
    figures = [f"```{{play}} {play.slug}\n```" for play in plays]
    links = " · ".join(f"{{download}}`{name}`" for name in downloads)
    moved = ["## Move it yourself", *figures] if figures else []
    return "\n\n".join([text.rstrip(), *moved, "## To take away", links]) + "\n"


def notebook_of(script: Path) -> str:
    """A lesson's script as a notebook that has not been run: its cells, without results."""
    cells = []
    for i, cell in enumerate(re.split(r"^# %%", script.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]):
        first, _, body = cell.partition("\n")
        markdown = "[markdown]" in first
        source = re.sub(r"^# ?", "", body, flags=re.MULTILINE) if markdown else body
        made: dict[str, Any] = {"cell_type": "markdown" if markdown else "code", "id": f"cell-{i}", "metadata": {}}
        made["source"] = source.strip("\n").splitlines(keepends=True)
        cells.append(made if markdown else made | {"execution_count": None, "outputs": []})
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}, ensure_ascii=False)


def _downloads(folder: Path) -> list[str]:
    names = (f"{folder.name}.ipynb", "lesson.py", "exercises.py", "solutions.py")
    return [name for name in names if (folder / name).is_file()]


def _promise(folder: Path) -> str:
    """What the lesson says that one will do, on one line."""
    sentence = re.search(r"\*\*You will do:\*\* (.*?)\n\n", (folder / "README.md").read_text("utf-8"), re.DOTALL)
    return " ".join(sentence[1].split()).replace("|", "\\|") if sentence else ""


# ------------------------------------------------------------------------------------------------------------ API
def modules() -> list[str]:
    """Every public module of the package, by name."""
    walked = pkgutil.walk_packages(minipost.__path__, "minipost.")
    return ["minipost", *sorted(m.name for m in walked if not m.name.rpartition(".")[2].startswith("_"))]


def rooms(names: list[str]) -> dict[str, list[str]]:
    """The pages of the reference, a package each, with their modules; modules without a package are on the first."""
    pages: dict[str, list[str]] = {"minipost": []}
    packages = {".".join(name.split(".")[:2]) for name in names if name.count(".") > 1}
    for name in names:
        room = ".".join(name.split(".")[:2])
        pages.setdefault(room if room in packages else "minipost", []).append(name)
    return pages


def _api(into: Path) -> None:
    into.mkdir()
    pages = rooms(modules())
    for room, names in pages.items():
        others = [other for other in pages if other != room] if room == "minipost" else []
        (into / f"{room}.rst").write_text(api_page(names, others), encoding="utf-8")


def api_page(names: list[str], others: list[str]) -> str:
    """A package: its docstring, then each of its modules with what it defines; links to `others`."""
    package, *inner = names
    heading = "API reference" if others else package
    lines = [heading, "=" * len(heading), "", f".. automodule:: {package}", ""]
    if others:
        lines += [".. toctree::", "   :titlesonly:", "", *(f"   {other}" for other in others), ""]
    for name in inner:
        lines += [name, "-" * len(name), "", f".. automodule:: {name}"]
        # What a package re-exports is documented where it is defined, once.
        is_package = any(other.startswith(f"{name}.") for other in inner)
        lines += [] if is_package else ["   :members:", "   :undoc-members:", "   :show-inheritance:"]
        lines.append("")
    return "\n".join(lines)
