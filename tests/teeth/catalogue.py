"""How mutants and alternatives are collected: two decorators, one list each.

A *mutant* is a small, plausible bug in an implementation of one target of the law suite. Its docstring says in one line
what is wrong, its decorator which law has to break. An *alternative* is right, but written differently: no law may
break. Both are plain functions with the target's signature, so that each reads as what somebody would have written.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Function = Callable[..., Any]


@dataclass(frozen=True)
class Entry:
    """One function that stands in for `target`; `framework` None means that it takes NumPy arrays."""

    target: str
    function: Function
    framework: str | None
    law: str | None = None  # a mutant's: the law that has to break
    thread: str | None = None  # a mutant's: owner/repo#number, where people met this very bug

    @property
    def name(self) -> str:
        return f"{self.target}:{self.function.__name__}"

    @property
    def says(self) -> str:
        """The docstring on one line."""
        return " ".join((self.function.__doc__ or "").split())

    @property
    def runs_here(self) -> bool:
        """Whether its framework is installed."""
        return self.framework not in ("torch", "jax") or importlib.util.find_spec(self.framework) is not None


MUTANTS: list[Entry] = []
ALTERNATIVES: list[Entry] = []


def mutant(
    target: str, law: str, thread: str | None = None, framework: str | None = None
) -> Callable[[Function], Function]:
    """Collect a bug in an implementation of `target` that must break `law`, such as "P33" or "gradient"."""

    def collect(function: Function) -> Function:
        MUTANTS.append(Entry(target, function, framework, law, thread))
        return function

    return collect


def alternative(target: str, framework: str | None = None) -> Callable[[Function], Function]:
    """Collect a correct implementation of `target`."""

    def collect(function: Function) -> Function:
        ALTERNATIVES.append(Entry(target, function, framework))
        return function

    return collect


def collected() -> tuple[list[Entry], list[Entry]]:
    """All mutants and all alternatives of this folder, in the order of their files and of the lines in them."""
    for path in sorted(Path(__file__).parent.glob("*s_*.py")):
        if path.stem.startswith(("mutants_", "alternatives_")):
            importlib.import_module(path.stem)
    return MUTANTS, ALTERNATIVES
