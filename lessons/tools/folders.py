"""Where lessons are: `lessons/NN_name/`, in the project around the current folder."""

from __future__ import annotations

from pathlib import Path

from lessons.tools.display import LessonError


def lessons_folder() -> Path:
    """The folder `lessons` of the project around the current folder, else beside the package."""
    current = Path.cwd()
    for folder in (current, *current.parents, Path(__file__).resolve().parents[2]):
        if any((folder / "lessons").glob("[0-9][0-9]_*")):
            return folder / "lessons"
    raise LessonError("There are no lessons here; run this inside a checkout of minipost.")


def every_lesson(root: Path | None = None) -> list[Path]:
    """All lesson folders, by number."""
    return sorted((root or lessons_folder()).glob("[0-9][0-9]_*/"))


def find_lesson(number: str, root: Path | None = None) -> Path:
    """The folder of lesson "7" or "07"."""
    for folder in every_lesson(root):
        if number.isdecimal() and int(folder.name[:2]) == int(number):
            return folder
    known = ", ".join(str(int(folder.name[:2])) for folder in every_lesson(root))
    raise LessonError(f"There is no lesson {number!r}; there are {known}.")
