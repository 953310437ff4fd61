"""Exercises: stubs to fill in, checked by laws; for a wrong answer: the broken law and its smallest counterexample.

Beside a lesson stand `exercises.py` (stubs that raise NotImplementedError, and code with a bug to find), `solutions.py`
(the same names, right) and `checks.py`, which lists what an answer is held to:

    CHECKS = [
        Check("dpo_loss", "dpo.sigmoid", hints=["Which of the four ..."]),        # a target of the law suite
        Check("sum_rule", [Property("E1", "used twice, summed", ..., ..., holds)]),  # or laws of its own
        Check("buggy_loss", "dpo.sigmoid", bug="P58"),                            # a bug, and the law that finds it
    ]
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from lessons.tools.display import LessonError
from minipost.errors import UserError
from minipost.laws.law import Assertion, Broken, Call, Case

MAX_EXAMPLES = 60


@dataclass(frozen=True)
class Property:
    """A law of one exercise.

    `given` draws a dictionary of values; `holds(f, **values)` calls the answer `f` and yields assertions, made with
    `equal`, `slope`, `at_least`, `at_most` of `minipost.laws.law`. The first false one, with the calls that led to it,
    is the counterexample, and Hypothesis looks for the smallest.
    """

    name: str  # "E1"
    says: str  # in words
    formula: str  # in symbols
    given: Any  # a Hypothesis strategy; Hypothesis is imported only where answers are checked
    holds: Callable[..., Iterator[Assertion]]
    source: str = ""


@dataclass(frozen=True)
class Check:
    """What one exercise is held to: a target of the law suite, or properties of its own.

    `bug` is set for code with a hidden bug: the name of a law that breaks as long as the bug is in. `hints` go from a
    nudge to nearly the answer.
    """

    name: str  # the function in exercises.py
    against: str | Sequence[Property]
    hints: Sequence[str] = ()
    bug: str = ""


@dataclass(frozen=True)
class Outcome:
    """The result for one answer; for a wrong one also the laws that it breaks and the first counterexample, as text."""

    check: Check
    status: Literal["passes", "not done yet", "wrong"]
    broken: list[str] = field(default_factory=list)
    counterexample: str = ""


@dataclass(frozen=True)
class Exercises:
    """The exercises of one lesson."""

    folder: Path
    checks: Sequence[Check]

    @classmethod
    def of(cls, folder: Path) -> Exercises:
        """Those in a lesson's folder; `LessonError` if it has none."""
        if not (folder / "checks.py").is_file():
            raise LessonError(f"Lesson {folder.name} has no exercises that can be checked.")
        return cls(folder, loaded(folder / "checks.py").CHECKS)

    def outcomes(self, answers: str = "exercises", max_examples: int = MAX_EXAMPLES) -> list[Outcome]:
        """Check the functions in `exercises.py`, or `solutions.py`."""
        module = loaded(self.folder / f"{answers}.py")
        return [checked(check, getattr(module, check.name, None), max_examples) for check in self.checks]

    def solution(self, name: str) -> str:
        """The source of the reference solution."""
        return inspect.getsource(getattr(loaded(self.folder / "solutions.py"), name))


def loaded(path: Path) -> ModuleType:
    """A file of a lesson as a module, read afresh."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(f"{path.parent.name}.{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise LessonError(f"There is no file {path}; restore it.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "hypothesis":
            fix = "pip install 'minipost[laws]'"
            raise LessonError(f"Exercises are checked with Hypothesis, which is not installed: {fix}.") from None
        message = " ".join(str(error).split())
        raise LessonError(f"Importing {path} raised {type(error).__name__}: {message}; correct that first.") from None
    return module


def checked(check: Check, answer: Callable[..., Any] | None, max_examples: int = MAX_EXAMPLES) -> Outcome:
    """One answer against its laws."""
    if answer is None:
        return Outcome(check, "wrong", ["missing"], f"there is no function {check.name}; keep the stub's name")
    from minipost.laws.printing import counterexample

    watched, unfinished = _watching(answer)
    if isinstance(check.against, str):
        from minipost.laws import judge

        broken = judge(check.against, watched, max_examples=max_examples, label=check.name).broken
    else:
        broken = [b for law in check.against if (b := _broken(law, watched, max_examples)) is not None]
    if unfinished:
        return Outcome(check, "not done yet")
    if not broken:
        return Outcome(check, "passes")
    return Outcome(check, "wrong", [b.law for b in broken], counterexample(broken[0]))


def _watching(answer: Callable[..., Any]) -> tuple[Callable[..., Any], list[str]]:
    """The answer, and a list that is no longer empty once it raised NotImplementedError."""
    unfinished: list[str] = []

    @functools.wraps(answer)
    def watched(*args: Any, **kwargs: Any) -> Any:
        try:
            return answer(*args, **kwargs)
        except NotImplementedError as error:
            unfinished.append(str(error))
            raise

    return watched, unfinished


def _broken(law: Property, answer: Callable[..., Any], max_examples: int) -> Broken | None:
    """The smallest counterexample to a property, or None."""
    from minipost.laws.drawing import draw

    counterexamples: list[Broken] = []

    def each(values: Mapping[str, Any]) -> None:
        calls: list[Call] = []
        false = next(_false_assertions(law, _recording(answer, calls), values), None)
        if false is not None:
            counterexamples.append(Broken(law.name, law.says, law.formula, law.source, false, tuple(calls)))
            raise AssertionError(law.name)

    with suppress(AssertionError):
        draw(law.given, each, max_examples, law.name, shrink=True)
    return counterexamples[-1] if counterexamples else None


def _false_assertions(law: Property, answer: Callable[..., Any], values: Mapping[str, Any]) -> Iterator[Assertion]:
    """The assertions that do not hold. An answer that raises, or gives what no number can be made of, is one."""
    try:
        for assertion in law.holds(answer, **values):
            scale = np.abs(np.asarray(assertion.should, np.float64))
            if not assertion.holds(float(scale[np.isfinite(scale)].max(initial=0.0))):
                yield assertion
    except Exception as error:
        message = " ".join(str(error).split())
        yield Assertion("it raised", f"{type(error).__name__}: {message}", "a result")


def _recording(answer: Callable[..., Any], calls: list[Call]) -> Callable[..., Any]:
    """The answer, wrapped so that each of its calls is recorded, as the law suite records calls."""
    signature = inspect.signature(answer)

    def recorded(*args: Any, **kwargs: Any) -> Any:
        case = Case(signature.bind(*args, **kwargs).arguments)
        calls.append(Call(case, None))
        returned = answer(*args, **kwargs)
        calls[-1] = Call(case, returned)
        return returned

    return recorded
