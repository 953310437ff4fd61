"""Contenders that a process of its own can build: they live in a module, not in a test."""

from __future__ import annotations

import os
import time

from benchmarks.harness import Job
from benchmarks.machine import Machine

MACHINE = Machine("a processor", 2, 2, "Linux", {"numpy": "2"}, 200e9, 100e9, 30e9, 25e9)


def sleeper(milliseconds: float) -> Job:
    return Job(lambda: time.sleep(milliseconds / 1e3), {"process": os.getpid()})


def broken() -> Job:
    raise RuntimeError("no such thing")


def dying() -> Job:
    os._exit(3)


def sees(name: str) -> Job:
    """What the process reads in its environment."""
    return Job(lambda: None, {"process": os.getpid(), "value": os.environ.get(name)})
