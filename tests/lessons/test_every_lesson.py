"""What holds for every lesson: fresh pages, all ingredients, and exercises that can be solved and cannot be faked."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from lessons.tools.exercises import Check, Exercises
from lessons.tools.folders import every_lesson
from lessons.tools.page import stale

ROOT = Path(__file__).resolve().parents[2] / "lessons"
LESSONS = every_lesson(ROOT)
WITH_EXERCISES = [folder for folder in LESSONS if (folder / "checks.py").is_file()]
CHECKS = [(folder, check) for folder in WITH_EXERCISES for check in Exercises.of(folder).checks]

each_lesson = pytest.mark.parametrize("folder", LESSONS, ids=lambda f: f.name)
each_check = pytest.mark.parametrize(
    ("folder", "check"), CHECKS, ids=[f"{folder.name}-{check.name}" for folder, check in CHECKS]
)


def markdown(folder: Path) -> str:
    """The prose of a lesson."""
    cells = re.split(r"^# %%", (folder / "lesson.py").read_text(encoding="utf-8"), flags=re.MULTILINE)
    prose = [cell for cell in cells if cell.startswith(" [markdown]")]
    return "\n".join(line.removeprefix("#").removeprefix(" ") for cell in prose for line in cell.splitlines()[1:])


# --------------------------------------------------------------------------------------------------------------- pages
@each_lesson
def test_the_page_is_fresh(folder: Path) -> None:
    complaint = stale(folder)
    assert not complaint, f"{complaint}: python -m lessons build {int(folder.name[:2])}"


@each_lesson
def test_the_page_reads_anywhere(folder: Path) -> None:
    """No paths of the machine that made it, every figure with alt text, every relative link to something."""
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(?:tmp|home|root|Users|work|usr)/", page)
    assert "Traceback (most recent call last)" not in page
    prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    for alt, target in re.findall(r"(?<!\w)(!?\[[^\]]*\])\(([^)\s]+)\)", prose):
        assert alt not in ("![]", "![png]"), target
        if not target.startswith(("http", "#")):
            assert (folder / target.partition("#")[0]).exists(), target


@each_lesson
def test_the_lesson_has_its_ingredients(folder: Path) -> None:
    """It opens with what one will do, learn and need; asks for a prediction; shows figures; ends with references."""
    text = markdown(folder)
    for ingredient in ("**You will do:**", "**You will learn:**", "**You need:**", "*Takeaway:", "## Exercises"):
        assert ingredient in text, ingredient
    assert re.search(r"\*\*Predict[.:]?\*\*|\*\*Before you look", text), "ask for a prediction"
    assert re.search(r"^## References", text, re.MULTILINE)
    if folder in WITH_EXERCISES:
        page = (folder / "README.md").read_text(encoding="utf-8")
        assert len(re.findall(r"!\[[^\]]+\]\(figures/", page)) >= 4
        assert "## This bug shipped" in text and "github.com/" in text
        assert len(Exercises.of(folder).checks) >= 3
        assert any(check.bug for check in Exercises.of(folder).checks), "hide a bug"


# ----------------------------------------------------------------------------------------------------------- exercises
@pytest.mark.parametrize("folder", WITH_EXERCISES, ids=lambda f: f.name)
def test_solutions_pass_and_stubs_do_not(folder: Path) -> None:
    exercises = Exercises.of(folder)
    for outcome in exercises.outcomes("solutions"):
        assert outcome.status == "passes", f"{outcome.check.name}\n{outcome.counterexample}"
    for outcome in exercises.outcomes("exercises"):
        expected = "wrong" if outcome.check.bug else "not done yet"
        assert outcome.status == expected, f"{outcome.check.name} {outcome.counterexample}"


@each_check
def test_a_hidden_bug_is_found_by_the_law_that_is_named(folder: Path, check: Check) -> None:
    if check.bug:
        outcome = Exercises(folder, [check]).outcomes("exercises")[0]
        assert check.bug in outcome.broken and outcome.counterexample


@each_check
def test_hints_come_in_steps(folder: Path, check: Check) -> None:
    assert len(check.hints) >= 2 and len(set(check.hints)) == len(check.hints)


@pytest.mark.parametrize("folder", WITH_EXERCISES, ids=lambda f: f.name)
def test_stubs_and_solutions_have_the_same_functions(folder: Path) -> None:
    def signatures(file: str) -> dict[str, str]:
        tree = ast.parse((folder / file).read_text(encoding="utf-8"))
        return {node.name: ast.unparse(node.args) for node in tree.body if isinstance(node, ast.FunctionDef)}

    stubs, solutions = signatures("exercises.py"), signatures("solutions.py")
    for check in Exercises.of(folder).checks:
        assert stubs[check.name] == solutions[check.name]
