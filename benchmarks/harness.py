"""Times several contenders in turns, each in a process of its own.

Machines are noisy: clocks rise and fall, neighbours come and go. Contenders therefore take turns in short blocks,

    A A A A | B B B B | C C C C | A A A A | B B B B | ...

so that what disturbs one disturbs all, and the *ratio* of their medians holds where the times themselves do not. The
first two steps of a block are dropped: caches are cold, and the threads of some library may be asleep. Each contender
lives in a process of its own, which waits without using a core while it is not its turn: thread pools do not meet,
allocators do not help each other, and the process's peak memory is the contender's.

Who else was at work is recorded: the share of the cores' time that went to other processes (from /proc/stat) or to
other guests of the same host ("steal") during a contender's blocks. A row with more than a few percent was disturbed.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from minipost.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
GRADIENTS, UPDATE = "forward + backward", "optimiser"  # the parts of a training step
DROPPED = 2  # first steps of each block that do not count; of long steps (a quarter of the block) only one


class BenchmarkError(UserError):
    """A benchmark that cannot run as asked."""


@dataclass(frozen=True)
class Job:
    """What a contender builds: the step to time, and facts about it (JSON values) to check and to print.

    A step that knows how long its parts take appends each part's seconds to a list of `parts`: see `noted`.
    """

    step: Callable[[], Any]
    facts: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """A name, and a module-level function that builds the job from the arguments (in the contender's process).

    The process has the `environment` on top of this one's, and may be another `python` with packages of its own.
    """

    name: str
    build: Callable[..., Job]
    arguments: tuple[Any, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    python: str = ""  # path of an interpreter; empty: this one


@dataclass
class Row:
    """What was measured of one contender."""

    name: str
    facts: dict[str, Any]
    seconds: list[float] = field(default_factory=list)  # one for each step that counts
    parts: dict[str, list[float]] = field(default_factory=dict)  # the same for the parts of a step
    peak_mb: float = 0.0  # the most memory that its process held, imports included
    clock: float = 0.0  # seconds that its blocks took
    disturbance: dict[str, float] = field(default_factory=lambda: {"nice": 0.0, "steal": 0.0, "others": 0.0})

    @property
    def disturbed(self) -> float:
        """Share of the cores' time that others had during this contender's blocks."""
        lost = self.disturbance["steal"] + self.disturbance["others"]
        return min(1.0, lost / max(self.clock * (os.cpu_count() or 1), 1e-9))  # the system counts in ticks of 10 ms

    def summary(self) -> dict[str, Any]:
        """The row as JSON values; times in seconds a step."""
        return {
            "name": self.name,
            **spread(self.seconds),
            "steps": len(self.seconds),
            "peak_mb": round(self.peak_mb, 1),
            "disturbed": round(self.disturbed, 4),
            "seconds_lost": {name: round(value, 2) for name, value in self.disturbance.items()},
            **({"parts": {name: spread(times)["median"] for name, times in self.parts.items()}} if self.parts else {}),
            **self.facts,
        }


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 10th and 90th percentile."""
    p10, median, p90 = (float(np.percentile(seconds, q)) for q in (10, 50, 90))
    return {"median": median, "p10": p10, "p90": p90}


def race(
    contenders: Sequence[Contender],
    *,
    rounds: int = 5,
    seconds: float = 1.0,
    check: Callable[[Mapping[str, dict[str, Any]]], None] = lambda facts: None,
) -> dict[str, Row]:
    """Time the contenders in turns, `rounds` blocks of at least `seconds` each.

    `check(facts by name)` sees what they built before anything is timed, and raises `BenchmarkError` where they do not
    do the same work: a time is worth nothing before the result is right. Progress goes to stderr.
    """
    if rounds < 1 or seconds <= 0:
        raise BenchmarkError(f"{rounds} rounds of {seconds} s time nothing: raise --rounds or --seconds.")
    with ExitStack() as stack:
        workers = {c.name: stack.enter_context(worker(c)) for c in contenders}
        rows = {}
        for name, connection in workers.items():
            say(f"  {name}: building")
            rows[name] = Row(name, answer(name, connection))
        check({name: row.facts for name, row in rows.items()})
        for k in range(rounds):
            for name, connection in workers.items():
                connection.send(seconds)
                block = answer(name, connection)
                row = rows[name]
                row.seconds += block["seconds"]
                for part, seconds_of_part in block["parts"].items():
                    row.parts.setdefault(part, []).extend(seconds_of_part)
                row.peak_mb, row.clock = block["peak_mb"], row.clock + block["clock"]
                for kind, lost in block["disturbance"].items():
                    row.disturbance[kind] += lost
            say(f"  round {k + 1}/{rounds}: " + ", ".join(f"{n} {np.median(r.seconds):.4g} s" for n, r in rows.items()))
    return rows


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ------------------------------------------------------------------------------------------------- processes
@contextmanager
def worker(contender: Contender) -> Iterator[Connection]:
    """A process that builds the contender's job and then runs blocks on demand; yields the pipe to it.

    Spawned, not forked: the threads of a BLAS or of OpenMP do not survive a fork.
    """
    parent_end, worker_end = multiprocessing.Pipe()
    stop = (start_elsewhere if contender.python else spawn)(contender, worker_end)
    worker_end.close()
    if contender.python:
        parent_end.send((contender.build, contender.arguments))
    try:
        yield parent_end
    finally:
        parent_end.close()
        stop()


def spawn(contender: Contender, worker_end: Connection) -> Callable[[], None]:
    """Start a process of this interpreter; returns what ends it."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=serve, args=(worker_end, contender.build, contender.arguments), daemon=True)
    with environment(contender.environment):
        process.start()

    def stop() -> None:
        process.join(timeout=5)
        process.terminate()
        process.join()

    return stop


def start_elsewhere(contender: Contender, worker_end: Connection) -> Callable[[], None]:
    """The same with another interpreter, which sees this checkout and its own packages (not on Windows)."""
    fd = worker_end.fileno()
    code = f"from benchmarks.harness import serve_from; serve_from({fd})"
    paths = os.pathsep.join([str(ROOT), *filter(None, [contender.environment.get("PYTHONPATH")])])
    with environment({**contender.environment, "PYTHONPATH": paths}):
        process = subprocess.Popen([contender.python, "-c", code], pass_fds=[fd])

    def stop() -> None:
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    return stop


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """The process's environment with `changes`, which processes that start meanwhile inherit."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def serve_from(fd: int) -> None:
    """`serve` in an interpreter that was started with the worker's end of the pipe as file `fd`."""
    connection = Connection(fd)
    build, arguments = connection.recv()
    serve(connection, build, arguments)


def serve(connection: Connection, build: Callable[..., Job], arguments: tuple[Any, ...]) -> None:
    """A worker's life: build, report the facts, then one block for each number of seconds that comes in."""
    try:
        job = build(*arguments)
        connection.send(job.facts)
        while True:
            connection.send(run_block(job.step, connection.recv(), job.parts))
    except EOFError:
        return  # the parent has closed its end: all done
    except UserError as error:
        connection.send(error)
    except Exception as error:
        detail = traceback.format_exc()
        connection.send(BenchmarkError(f"{type(error).__name__}: {str(error).strip()[:300]}\n{detail}"))


def answer(name: str, connection: Connection) -> Any:
    """The worker's next message; if that is an error, it is raised."""
    try:
        message = connection.recv()
    except EOFError:
        raise BenchmarkError(f"{name}'s process died, perhaps for want of memory: try a smaller size.") from None
    if isinstance(message, Exception):
        raise BenchmarkError(f"{name} cannot run: {message}") from None
    return message


def run_block(
    step: Callable[[], Any], seconds: float, parts: Mapping[str, list[float]] | None = None
) -> dict[str, Any]:
    """Steps for at least `seconds`, at least one that counts."""
    parts = parts or {}
    for times_of_part in parts.values():
        times_of_part.clear()
    before, own, started = cpu_ticks(), own_seconds(), time.perf_counter()
    times: list[float] = []
    dropped = DROPPED
    while len(times) <= dropped or time.perf_counter() - started < seconds:
        at = time.perf_counter()
        step()
        times.append(time.perf_counter() - at)
        dropped = DROPPED if times[0] < seconds / 4 else 1
    clock, after, own = time.perf_counter() - started, cpu_ticks(), own_seconds() - own
    passed = {name: after[name] - before[name] for name in after}
    return {
        "seconds": times[dropped:],
        "parts": {name: times_of_part[dropped:] for name, times_of_part in parts.items()},
        "clock": clock,
        "peak_mb": peak_mb(),
        "disturbance": {"nice": passed["nice"], "steal": passed["steal"], "others": max(0.0, passed["busy"] - own)},
    }


# --------------------------------------------------------------------------------------- what the system says
def cpu_ticks() -> dict[str, float]:
    """Seconds of all cores since boot: busy with anything, with niced processes, stolen by other guests.

    All 0 where there is no /proc/stat: no row is then known to be disturbed.
    """
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, soft, steal = map(int, file.readline().split()[1:9])
    except OSError:
        return {"busy": 0.0, "nice": 0.0, "steal": 0.0}
    hertz = os.sysconf("SC_CLK_TCK")
    return {"busy": (user + nice + system + irq + soft) / hertz, "nice": nice / hertz, "steal": steal / hertz}


def own_seconds() -> float:
    """CPU seconds of this process, all its threads."""
    times = os.times()
    return times.user + times.system


def peak_mb() -> float:
    """The most memory that this process has held (resident), in MB of 10^6 bytes.

    On Linux from /proc: the figure of getrusage goes over from the parent to the process that it spawns.
    """
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024 / 1e6
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds, result) of one call."""
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def noted(parts: dict[str, list[float]], name: str, function: Callable[[], Any]) -> Any:
    """The result of one call, whose seconds join those of the part `name`."""
    seconds, result = timed(function)
    parts.setdefault(name, []).append(seconds)
    return result
