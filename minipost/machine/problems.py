"""What is wrong with a machine's setup, each with its fix.

The rules cost nothing, so that a training run applies them before its first step, and says in one line that it will be
slow, and why. What only measurements show is told by `minipost.machine.speed`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from minipost.machine import setup
from minipost.machine.setup import Setup

MEMORY, DISK = 1 << 30, 1 << 28  # bytes that suffice for a default tour: its evaluation alone holds 0.5 GB


@dataclass(frozen=True)
class Problem:
    """What is wrong, and how to fix it. Kinds: training is `slow`; something else is `wrong`; a `note` can stay."""

    kind: Literal["slow", "wrong", "note"]
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}: {self.fix}."


def of_setup(s: Setup) -> Iterator[Problem]:
    """Every problem of a setup, the worst first."""
    if not s.jit:
        yield Problem("slow", "NUMBA_DISABLE_JIT makes every kernel run as plain Python", "unset it")
    if s.translated:
        yield Problem(
            "slow",
            "this Python is built for Intel, and Rosetta translates it",
            "install a Python for Apple silicon, whose platform.machine() is arm64",
        )
    yield from of_threads(s)
    if s.debug_build:
        yield Problem("slow", "this Python is a debug build", "install a release build")
    for setting in s.compiler_settings:
        name = setting.partition("=")[0]
        yield Problem(
            "slow", f"{setting} makes Numba compile other code than the best for this machine", f"unset {name}"
        )
    if s.jit and s.cache is None:
        yield Problem(
            "slow",
            "no folder for compiled kernels can be written, so each process compiles them anew",
            "set NUMBA_CACHE_DIR to a folder that can",
        )
    if s.memory is not None and s.memory < MEMORY:
        what = f"{s.memory / 1e9:.1f} GB of memory are free, and a tour may need {MEMORY / 1e9:.1f}"
        yield Problem("wrong", what, "end other programs, or take --size nano")
    if s.disk < DISK:
        what = f"{s.disk / 1e9:.1f} GB are free on the disk of this folder, and a tour may need {DISK / 1e9:.1f}"
        yield Problem("wrong", what, "make room, or work in another folder")
    if s.blas is None:
        what = "NumPy was built without a BLAS; training does not need one, but other programs' products are slow"
        yield Problem("note", what, "pip install --force-reinstall --only-binary :all: numpy")
    if s.load is not None and s.load > s.cores / 2:
        what = f"other programs are at work (load {s.load:.1f} on {s.cores} cores), so that the figures here are low"
        yield Problem("note", what, "end them and measure again")


def of_threads(s: Setup) -> Iterator[Problem]:
    """Too few threads by accident, or too many. MINIPOST_THREADS is no accident, if it asks for few."""
    set_to, enough = f"{s.threads_from}={s.threads}", f"set MINIPOST_THREADS={s.usable_cores}"
    if s.threads_ignored is not None:
        name = s.threads_ignored.partition("=")[0]
        yield Problem(
            "wrong", f"{s.threads_ignored} is no whole number above 0 and is ignored", f"correct or unset {name}"
        )
    if s.threads > s.usable_cores:
        cores = f"{s.cores} core{'s' if s.cores > 1 else ''}"
        if s.cpu_limit is not None and s.usable_cores < s.cores:
            cores = f"the {s.cpu_limit:g} of {cores} that this container may use"
        why = f"{set_to} starts" if s.threads_from else "there are"
        yield Problem("slow", f"{why} {s.threads} threads for {cores}, and they wait for each other", enough)
    elif s.threads_from == "OMP_NUM_THREADS" and 2 * s.threads <= s.usable_cores:
        idle = f"{s.usable_cores - s.threads} of {s.usable_cores} cores"
        yield Problem("slow", f"{set_to} leaves {idle} idle", f"{enough}, which goes before it")


@lru_cache(maxsize=1)
def warn_if_slow() -> None:
    """Before a process trains for the first time: one line on stderr, if its setup slows training."""
    if slow := [problem for problem in of_setup(setup.read()) if problem.kind == "slow"]:
        more = f" (and {len(slow) - 1} more)" if slow[1:] else ""
        print(f"Training is slow here: {slow[0].what}{more}; run `minipost doctor`.", file=sys.stderr, flush=True)
