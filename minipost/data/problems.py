"""What is wrong with a row, said so that it can be repaired, and a count of it all.

A training run that silently drops or bends bad rows teaches something else than its data says. So a problem names file
and line, the field, its value, what is wrong and the fix; a file's problems are collected, and shown together: the
first ten, and the totals.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minipost.errors import UserError

SHOWN = 10  # bad rows that a message lists


class DataError(UserError):
    """A file that cannot be used as it is."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (`line` counts from 1; 0 is the file as a whole), with what, and the fix."""

    path: Path
    line: int
    kind: str  # what the totals count by, e.g. "wrong type"
    field: str
    value: Any
    what: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        subject = f" {self.field} is {excerpt(self.value)}:" if self.field else ""
        return f"{place}:{subject} {self.what}; {self.fix}."

    def to_dict(self) -> dict[str, Any]:
        """For reports: JSON values only."""
        return {**vars(self), "path": str(self.path), "value": excerpt(self.value, 500)}


class RowError(ValueError):
    """A problem on its way up, before anyone has said in which file and line it is."""

    def __init__(self, kind: str, field: str, value: Any, what: str, fix: str) -> None:
        super().__init__(what)
        self.parts = (kind, field, value, what, fix)

    def at(self, path: Path, line: int) -> Problem:
        return Problem(path, line, *self.parts)


@dataclass
class Ledger:
    """Counts rows and problems, and keeps the first problems to show: its size does not grow with the file."""

    rows: int = 0
    bad: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    first: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        self.bad += 1
        self.kinds[problem.kind] += 1
        if len(self.first) < SHOWN:
            self.first.append(problem)

    def message(self) -> str:
        """The totals, then the first ten."""
        totals = ", ".join(f"{count:,} x {kind}" for kind, count in self.kinds.most_common())
        head = f"{self.bad:,} of {self.rows:,} rows are bad ({totals})"
        listed = "\n".join(f"  {problem}" for problem in self.first)
        rest = f"\n  ... and {self.bad - len(self.first):,} more" if self.bad > len(self.first) else ""
        return f"{head}:\n{listed}{rest}"


class Dropped:
    """Writes down every bad row that is passed over, with what is wrong with it: `--skip-bad` never drops silently.

    `Reader.on_bad` may be one. The file appears with the first bad row; an older one is removed.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        path.unlink(missing_ok=True)

    def __call__(self, problem: Problem, value: Any) -> None:
        if not self.count:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(dropped_line(problem, value))
        self.count += 1


def dropped_line(problem: Problem, value: Any) -> str:
    """A bad row and what is wrong with it, as a line of JSON."""
    return json.dumps({**problem.to_dict(), "row": value}, ensure_ascii=False) + "\n"


def excerpt(value: Any, limit: int = 60) -> str:
    """A value as JSON, cut where it gets long.

    >>> excerpt("abc" * 100, 9)
    '"abcabc...'
    """
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else text[: limit - 2] + "..."


def listed(names: Iterable[str]) -> str:
    """`a`, `b` -> "a and b"."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
