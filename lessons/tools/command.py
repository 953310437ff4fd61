"""`minipost lesson` builds pages and checks that they are fresh; `minipost exercise` checks a reader's answers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lessons.tools.display import LessonError
from lessons.tools.exercises import Check, Exercises, Outcome
from lessons.tools.folders import every_lesson, find_lesson, lessons_folder
from lessons.tools.page import build, stale

LESSONS = """examples:
  minipost lesson                     all lessons, by number
  minipost lesson build 7             run lesson 7 once and write its page, figures and notebook
  minipost lesson build all --check   is every page fresh? runs nothing

Pages need the extra minipost[lessons]; python lessons/07_*/lesson.py runs a lesson without it."""
EXERCISES = """examples:
  minipost exercise 1                               which exercises of lesson 1 pass
  minipost exercise 1 sum_rule --hint               a first hint; --hint 2 says more
  minipost exercise 1 sum_rule --show-solution      the reference solution

Your answers are the functions in lessons/NN_*/exercises.py. Exit codes: 0 all pass, 1 not yet, 2 wrong usage."""


def lesson_parser() -> argparse.ArgumentParser:
    """The arguments of `minipost lesson`."""
    parser = argparse.ArgumentParser(
        "minipost lesson",
        description="The lessons, and the pages made from them.",
        epilog=LESSONS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", nargs="?", default="list", choices=["list", "build"], help="what to do (%(default)s)")
    parser.add_argument("lesson", nargs="?", default="all", help='a number, or "all"')
    parser.add_argument("--check", action="store_true", help="build nothing; fail if a page is stale")
    return parser


def lesson_command(argv: Sequence[str]) -> int:
    """`minipost lesson list` and `minipost lesson build NN|all [--check]`."""
    asked = lesson_parser().parse_args(list(argv))
    folders = every_lesson() if asked.lesson == "all" else [find_lesson(asked.lesson)]
    if asked.action == "list":
        for folder in folders:
            print(f"{int(folder.name[:2]):3}  {title(folder)}")
        return 0
    if asked.check:
        complaints = list(filter(None, map(stale, folders)))
        for complaint in complaints:
            print(f"stale: {complaint}", file=sys.stderr)
        return 1 if complaints else 0
    for folder in folders:
        print(build(folder.resolve(), lessons_folder().parent / "build" / "lessons"))
    return 0


def list_command(argv: Sequence[str]) -> int:
    """`python -m lessons list`."""
    return lesson_command(["list", *argv])


def build_command(argv: Sequence[str]) -> int:
    """`python -m lessons build NN|all [--check]`."""
    return lesson_command(["build", *argv])


def title(folder: Path) -> str:
    """A lesson's first heading."""
    lines = (folder / "lesson.py").read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix("# # ") for line in lines if line.startswith("# # ")), folder.name)


def exercise_parser() -> argparse.ArgumentParser:
    """The arguments of `minipost exercise`."""
    parser = argparse.ArgumentParser(
        "minipost exercise",
        description="Check your answers to the exercises of a lesson.",
        epilog=EXERCISES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("lesson", help="its number")
    parser.add_argument("name", nargs="?", help="of one exercise")
    parser.add_argument("--hint", nargs="?", type=int, const=1, default=0, metavar="K", help="the first K hints (1)")
    parser.add_argument("--show-solution", action="store_true", help="print the reference solution")
    return parser


def exercise_command(argv: Sequence[str]) -> int:
    """`minipost exercise N [NAME] [--hint [K]] [--show-solution]`."""
    asked = exercise_parser().parse_args(list(argv))
    exercises = Exercises.of(find_lesson(asked.lesson))
    if asked.name is not None:
        exercises = Exercises(exercises.folder, [_named(exercises, asked.name)])
    if asked.show_solution:
        print("\n\n".join(exercises.solution(check.name).rstrip() for check in exercises.checks))
        return 0
    outcomes = exercises.outcomes()
    for outcome in outcomes:
        print("\n".join(lines_of(outcome)))
    left = [outcome.check for outcome in outcomes if outcome.status != "passes"]
    if asked.hint and left:
        print("\n".join(hints(left[0], asked.hint)))
    elif not left:
        print("All pass.")
    return 1 if left else 0


def lines_of(outcome: Outcome) -> list[str]:
    """A line for the exercise; below a wrong one the law that it breaks and the smallest counterexample."""
    lines = [f"{outcome.status:14}{outcome.check.name}"]
    if outcome.status == "wrong":
        others = f" (and {', '.join(outcome.broken[1:])})" if outcome.broken[1:] else ""
        lines[0] += f"  breaks {outcome.broken[0]}{others}"
        lines += [f"    {line}" for line in outcome.counterexample.splitlines()]
    return lines


def hints(check: Check, count: int) -> list[str]:
    """The first `count` hints of an exercise."""
    given = [f"hint {i + 1} of {len(check.hints)} for {check.name}: {h}" for i, h in enumerate(check.hints[:count])]
    return given or [f"{check.name} has no hints."]


def _named(exercises: Exercises, name: str) -> Check:
    for check in exercises.checks:
        if check.name == name:
            return check
    raise LessonError(f"There is no exercise {name!r}; there are {', '.join(c.name for c in exercises.checks)}.")
