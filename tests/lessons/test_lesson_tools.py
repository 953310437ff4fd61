"""The tools that lessons are made with, on a small lesson of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lessons.tools.display import LessonError, source_hash, source_text, table
from lessons.tools.exercises import Exercises
from lessons.tools.folders import every_lesson, find_lesson
from lessons.tools.page import build, script_hash, stale
from minipost import cli
from minipost.autograd import Tensor
from minipost.kernels import rms_norm

LESSON = """# %% [markdown]
# # A small lesson
#
# One figure.

# %%
import sys

from lessons.experiments import Lab
from minipost.losses import rloo
from lessons.tools import say, show, source_of, table
from minipost.report.style import canvas

lab = Lab()
x = lab.numbers("line", {"n": 3}, lambda: {"x": [0, 1, 4]})["x"]
print("for the page:", x.sum())

# %%
figure, ax = canvas(None)
ax.plot(x)
show(figure, "line", alt="A line that rises [faster and faster].")

# %%
say(f"The last value is {x[-1]}.")
table(["name", "value"], [["first", 0], ["last", 4]])
source_of(rloo, docstring=False)
"""
EXERCISES = """import numpy as np

def double(x):
    raise NotImplementedError

def kl_bound(n):
    return np.log(n) - n / (n + 1)

def raises(x):
    return x.shapes
"""
SOLUTIONS = """import numpy as np

def double(x):
    return 2 * x

def kl_bound(n):
    return np.log(n) - (n - 1) / n

def raises(x):
    return x
"""
CHECKS = """import numpy as np
from hypothesis import strategies as st
from minipost.laws.law import equal
from lessons.tools import Check, Property

def twice(f, x):
    yield equal("double(x)", f(x), 2 * x)

def itself(f, x):
    yield equal("raises(x)", f(x), x)

numbers = st.fixed_dictionaries({"x": st.integers(0, 9).map(float)})
CHECKS = [
    Check("double", [Property("E1", "twice as much", "f(x) = 2x", numbers, twice)], hints=["Add.", "x + x"]),
    Check("kl_bound", "best_of_n.kl_bound", bug="P75", hints=["Try n = 1.", "It is 0 there."]),
    Check("raises", [Property("E2", "the same", "f(x) = x", numbers, itself)]),
]
"""


@pytest.fixture
def lessons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one lesson, which is the current one."""
    folder = tmp_path / "lessons" / "03_small"
    folder.mkdir(parents=True)
    for name, text in (("lesson", LESSON), ("exercises", EXERCISES), ("solutions", SOLUTIONS), ("checks", CHECKS)):
        (folder / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIPOST_LESSONS", raising=False)
    monkeypatch.delenv("MINIPOST_FAST", raising=False)
    return folder


# ------------------------------------------------------------------------------------------------------------- display
def test_as_a_script_a_lesson_prints_and_saves_its_figures(lessons: Path) -> None:
    run = subprocess.run([sys.executable, str(lessons / "lesson.py")], capture_output=True, text=True, check=True)
    figure = Path("runs/lessons/figures/03_small/line.png")
    assert figure.is_file() and f"figure: {figure}" in run.stdout
    assert "The last value is 4.\n| name  | value |\n|-------|------:|\n| first |     0 |" in run.stdout
    assert "# minipost/losses/advantages.py\ndef rloo(" in run.stdout and '"""' not in run.stdout
    assert "training line-" in run.stderr


def test_sources_are_shown_as_written() -> None:
    assert source_text(Tensor.item).startswith("def item(self) -> float:\n    return")
    assert "for" in source_text(rms_norm.forward)  # compiled, but written in Python
    assert len(source_hash("minipost.autograd.tensor:Tensor.backward")) == 12
    assert source_hash("minipost.autograd.tensor:Tensor.forward") == "gone" == source_hash("minipost.nothing:x")


def test_tables_align_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    table(["a", "b"], [["x", "−1.5"], ["yy", "12 %"]])
    assert capsys.readouterr().out.splitlines() == ["| a  |    b |", "|----|-----:|", "| x  | −1.5 |", "| yy | 12 % |"]


# --------------------------------------------------------------------------------------------------------------- pages
def test_a_page_is_made_once_and_known_when_stale(lessons: Path) -> None:
    for needed in ("jupytext", "nbclient", "nbconvert", "ipykernel"):
        pytest.importorskip(needed)
    assert cli.main(["lesson", "build", "3", "--check"]) == 1
    page = build(lessons, lessons.parents[1] / "build").read_text()
    assert page.startswith(f"<!-- made from lesson.py {script_hash(lessons)} -->\n<!-- shows minipost.losses")
    assert "![A line that rises (faster and faster).](figures/line.png)" in page
    assert (lessons / "figures/line.png").is_file() and "The last value is 4." in page
    assert "for the page: 5" in page and "training" not in page and str(lessons.parents[1]) not in page
    notebook = json.loads((lessons.parents[1] / "build/03_small.ipynb").read_text())
    assert any("image/png" in o.get("data", {}) for cell in notebook["cells"] for o in cell.get("outputs", []))

    assert cli.main(["lesson", "build", "all", "--check"]) == 0
    assert build(lessons, lessons.parents[1] / "build").read_text() == page  # what was made before is not on the page
    (lessons / "README.md").write_text(page.replace("minipost.losses.advantages:rloo", "minipost.losses:gone"))
    assert "minipost.losses:gone has changed" in stale(lessons)
    (lessons / "README.md").write_text(page)
    (lessons / "figures/line.png").unlink()
    assert "line.png, which is not there" in stale(lessons)
    (lessons / "lesson.py").write_text(LESSON + "# more\n")
    assert "lesson.py has changed" in stale(lessons)


def test_a_page_is_not_made_from_tiny_settings(lessons: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIPOST_FAST", "1")
    with pytest.raises(LessonError, match="unset it"):
        build(lessons, lessons)


def test_lessons_are_found_by_number(lessons: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert every_lesson() == [lessons] and find_lesson("3") == find_lesson("03") == lessons
    assert cli.main(["lesson"]) == 0 and capsys.readouterr().out == "  3  A small lesson\n"
    assert cli.main(["exercise", "4"]) == 2 and "There is no lesson '4'; there are 3." in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------------- exercises
def test_exercises_name_the_broken_law_and_the_smallest_counterexample(
    lessons: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["exercise", "3"]) == 1
    out = capsys.readouterr().out
    assert "not done yet  double\n" in out
    assert "wrong         kl_bound  breaks P" in out and "n = 1\n" in out
    assert "wrong         raises  breaks E2" in out and "AttributeError: 'float' object has no attribute" in out
    (lessons / "exercises.py").write_text(EXERCISES.replace("raise NotImplementedError", "return x * x"))
    assert cli.main(["exercise", "3", "double"]) == 1
    out = capsys.readouterr().out
    assert "wrong         double  breaks E1" in out and "x = 1.0" in out  # the smallest: 0 and 2 are right by chance
    (lessons / "exercises.py").write_text(SOLUTIONS)
    assert cli.main(["exercise", "3"]) == 0 and "All pass." in capsys.readouterr().out


def test_hints_come_one_by_one_and_solutions_on_demand(lessons: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["exercise", "3", "--hint"])
    out = capsys.readouterr().out
    assert "hint 1 of 2 for double: Add." in out and "hint 2" not in out
    cli.main(["exercise", "3", "double", "--hint", "2"])
    assert "hint 2 of 2 for double: x + x" in capsys.readouterr().out
    assert cli.main(["exercise", "3", "double", "--show-solution"]) == 0
    assert capsys.readouterr().out == "def double(x):\n    return 2 * x\n"
    assert cli.main(["exercise", "3", "triple"]) == 2
    assert "There is no exercise 'triple'; there are double, kl_bound, raises." in capsys.readouterr().err


def test_an_answer_that_cannot_be_imported_is_a_sentence(lessons: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lessons / "exercises.py").write_text("def double(x:\n")
    assert cli.main(["exercise", "3"]) == 2
    assert "SyntaxError" in capsys.readouterr().err
    (lessons / "exercises.py").write_text("")
    assert Exercises.of(lessons).outcomes()[0].broken == ["missing"]
