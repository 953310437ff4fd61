"""The lessons' commands: list the lessons, build their pages, check a reader's answers to the exercises.

Each can be called by two names, and its help uses the one by which it was called:

    python -m lessons list          minipost lesson
    python -m lessons build 7       minipost lesson build 7
    python -m lessons exercise 1    minipost exercise 1
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lessons.tools.display import LessonError
from lessons.tools.exercises import Check, Exercises, Outcome
from lessons.tools.folders import every_lesson, find_lesson, lessons_folder
from lessons.tools.page import build, stale

NEEDS = """Pages need a checkout, installed with pip install -e ".[lessons]".
Without the extra a lesson still runs as a script: python lessons/07_*/lesson.py."""
LIST_EXAMPLES = """examples:
  {prog}        every lesson, by number
  {prog} 7      the title of lesson 7"""
BUILD_EXAMPLES = f"""examples:
  {{prog}} 7             run lesson 7 once and write its page, figures and notebook
  {{prog}} all --check   say which pages are stale; runs nothing

{NEEDS}"""
LESSON_EXAMPLES = f"""examples:
  {{prog}}                     every lesson, by number
  {{prog}} build 7             run lesson 7 once and write its page, figures and notebook
  {{prog}} build all --check   say which pages are stale; runs nothing

{NEEDS}"""
EXERCISE_EXAMPLES = """examples:
  {prog} 1                               which exercises of lesson 1 pass
  {prog} 1 sum_rule --hint               a first hint; --hint 2 says more
  {prog} 1 sum_rule --show-solution      the reference solution

Your answers are the functions in lessons/NN_*/exercises.py. Exit codes: 0 all pass, 1 not yet, 2 wrong usage."""


def lesson_command(argv: Sequence[str], prog: str = "minipost lesson") -> int:
    """`minipost lesson [list|build] [NN|all] [--check]`: listing and building under one name."""
    args = lesson_parser(prog).parse_args(list(argv))
    return list_lessons(args.lesson) if args.action == "list" else build_pages(args.lesson, args.check)


def list_command(argv: Sequence[str], prog: str = "python -m lessons list") -> int:
    """`python -m lessons list [NN|all]`."""
    parser = _parser(prog, "List the lessons by number.", LIST_EXAMPLES)
    _add_lesson(parser)
    return list_lessons(parser.parse_args(list(argv)).lesson)


def build_command(argv: Sequence[str], prog: str = "python -m lessons build") -> int:
    """`python -m lessons build [NN|all] [--check]`."""
    parser = _parser(prog, "Build the pages of lessons, or check that they are fresh.", BUILD_EXAMPLES)
    _add_lesson(parser)
    _add_check(parser)
    args = parser.parse_args(list(argv))
    return build_pages(args.lesson, args.check)


def exercise_command(argv: Sequence[str], prog: str = "minipost exercise") -> int:
    """`minipost exercise N [NAME] [--hint [K]] [--show-solution]`: 0 if all pass, 1 if not."""
    args = exercise_parser(prog).parse_args(list(argv))
    exercises = Exercises.of(find_lesson(args.lesson))
    if args.name is not None:
        exercises = Exercises(exercises.folder, [_named(exercises, args.name)])
    if args.show_solution:
        print("\n\n".join(exercises.solution(check.name).rstrip() for check in exercises.checks))
        return 0
    outcomes = exercises.outcomes()
    for outcome in outcomes:
        print("\n".join(lines_of(outcome)))
    unsolved = [outcome.check for outcome in outcomes if outcome.status != "passes"]
    if args.hint and unsolved:
        print("\n".join(hints(unsolved[0], args.hint)))
    elif not unsolved:
        print("All pass.")
    return 1 if unsolved else 0


def lesson_parser(prog: str = "minipost lesson") -> argparse.ArgumentParser:
    """The arguments of `minipost lesson`."""
    parser = _parser(prog, "List the lessons, or build the pages made from them.", LESSON_EXAMPLES)
    parser.add_argument("action", nargs="?", default="list", choices=["list", "build"], help="what to do (%(default)s)")
    _add_lesson(parser)
    _add_check(parser)
    return parser


def exercise_parser(prog: str = "minipost exercise") -> argparse.ArgumentParser:
    """The arguments of `minipost exercise` and of `python -m lessons exercise`."""
    parser = _parser(prog, "Check your answers to the exercises of a lesson.", EXERCISE_EXAMPLES)
    parser.add_argument("lesson", help="the lesson's number")
    parser.add_argument("name", nargs="?", help="the name of one exercise (all of the lesson's)")
    parser.add_argument("--hint", nargs="?", type=int, const=1, default=0, metavar="K", help="the first K hints (1)")
    parser.add_argument("--show-solution", action="store_true", help="print the reference solution")
    return parser


def list_lessons(lesson: str) -> int:
    """Print the number and the title of a lesson, or of "all"."""
    for folder in _folders(lesson):
        print(f"{int(folder.name[:2]):3}  {title(folder)}")
    return 0


def build_pages(lesson: str, check: bool) -> int:
    """Build the page of a lesson, or of "all"; with `check` build nothing, and return 1 if a page is stale."""
    folders = _folders(lesson)
    if check:
        complaints = list(filter(None, map(stale, folders)))
        for complaint in complaints:
            print(f"stale: {complaint}", file=sys.stderr)
        return 1 if complaints else 0
    for folder in folders:
        print(build(folder.resolve(), lessons_folder().parent / "build" / "lessons"))
    return 0


def title(folder: Path) -> str:
    """A lesson's first heading."""
    lines = (folder / "lesson.py").read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix("# # ") for line in lines if line.startswith("# # ")), folder.name)


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
    lines = [f"hint {i + 1} of {len(check.hints)} for {check.name}: {h}" for i, h in enumerate(check.hints[:count])]
    return lines or [f"{check.name} has no hints."]


def _parser(prog: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A parser whose help ends with `examples`, in which `{prog}` stands for the command's name."""
    return argparse.ArgumentParser(
        prog,
        description=description,
        epilog=examples.format(prog=prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_lesson(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lesson", nargs="?", default="all", help='a number, or "all" (%(default)s)')


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="build nothing, and fail if a page is stale")


def _folders(lesson: str) -> list[Path]:
    return every_lesson() if lesson == "all" else [find_lesson(lesson)]


def _named(exercises: Exercises, name: str) -> Check:
    for check in exercises.checks:
        if check.name == name:
            return check
    raise LessonError(f"There is no exercise {name!r}; there are {', '.join(c.name for c in exercises.checks)}.")
