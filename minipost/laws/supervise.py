"""A stranger's code in a process of its own: if it hangs where no signal reaches, or dies, the verdict still comes.

The worker judges. Before each call it writes the arguments into memory that both processes see, a flight recorder. The
supervisor waits for verdicts; if the worker dies, or one call lasts too long, it reads the recorder, and that call is
the counterexample to the law `contract`.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from minipost.laws.adapters import LawError
from minipost.laws.candidate import TIME_LIMIT, WAITING
from minipost.laws.judge import judge, laws_of, target_of
from minipost.laws.law import Case, Verdict
from minipost.laws.loading import function_name, implemented, load_function
from minipost.laws.printing import as_json, verdict_lines
from minipost.laws.trial import hung

POLL = 0.1  # seconds between two looks at a worker
GRACE = 3.0  # seconds beyond the time limit in which a signal should have ended the call
RECORDED = 1 << 20  # bytes of the flight recorder


@dataclass(frozen=True)
class Job:
    """One target to be judged: `source` is `MODULE:FUNCTION`. `target` "" is all that a module implements."""

    target: str
    source: str
    framework: str | None
    max_examples: int
    seed: int


@dataclass(frozen=True)
class Report:
    """A verdict as text and as data; the laws themselves do not cross processes."""

    holds: bool
    lines: list[str]
    data: dict[str, Any]


def report_of(verdict: Verdict) -> Report:
    return Report(verdict.holds, verdict_lines(verdict), as_json([verdict])["targets"][0])


class Recorder:
    """Memory that both processes see: how many calls began and ended, and the arguments of the last."""

    def __init__(self, context: Any) -> None:
        self._turns, self._size = context.RawValue("q", 0), context.RawValue("q", 0)
        self._data = context.RawArray("c", RECORDED)

    @contextmanager
    def call(self, case: Case) -> Iterator[None]:
        data = pickle.dumps(case)
        self._size.value = len(data) if len(data) <= RECORDED else 0
        self._data[: self._size.value] = data[: self._size.value]
        self._turns.value += 1
        try:
            yield
        finally:
            self._turns.value += 1

    @property
    def turns(self) -> int:
        """Odd while a call goes on."""
        return int(self._turns.value)

    def last(self) -> Case | None:
        """The arguments of the last call."""
        case: Case | None = pickle.loads(self._data[: self._size.value]) if self._size.value else None
        return case


def reports(jobs: Sequence[Job]) -> Iterator[Report]:
    """Judge all jobs, in order. Raises `LawError` for what the user can fix, `RuntimeError` for a bug of ours."""
    left = list(jobs)
    while left:
        left = yield from _until_one_dies(left)


def _until_one_dies(jobs: list[Job]) -> Generator[Report, None, list[Job]]:
    """Reports of one worker, the last of which may say that it died; what is left to be done is returned."""
    context = multiprocessing.get_context("spawn")  # a fork would inherit locks of threads that it does not have
    ours, theirs = context.Pipe(duplex=False)
    recorder = Recorder(context)
    worker = context.Process(target=_work, args=(theirs, recorder, jobs), daemon=True)
    worker.start()
    theirs.close()
    try:
        while jobs:
            kind, value = _answer(ours, worker, recorder)
            if kind == "jobs":
                jobs = value
            elif kind == "error":
                raise LawError(value)
            elif kind == "bug":
                raise RuntimeError(value)
            else:
                job, *jobs = jobs
                yield value if kind == "report" else _dead(job, recorder, value)
                if kind == "dead":
                    break
        return jobs
    finally:
        worker.kill()
        worker.join()


def _answer(ours: Any, worker: Any, recorder: Recorder) -> tuple[str, Any]:
    """The next message of the worker, or ("dead", what happened)."""
    turns, waits = recorder.turns, 0  # waits are counted, and not the clock's time, which runs while a laptop sleeps
    while True:
        if ours.poll(POLL):
            try:
                answer: tuple[str, Any] = ours.recv()
                return answer
            except EOFError:
                worker.join()
                return "dead", f"it ended the process (exit code {worker.exitcode})"
        now = recorder.turns
        if now != turns or now % 2 == 0:
            turns, waits = now, 0
        elif (waits := waits + 1) * POLL > TIME_LIMIT / WAITING + GRACE:
            worker.kill()
            return "dead", ""


def _dead(job: Job, recorder: Recorder, what: str) -> Report:
    """The verdict on an implementation that took its process with it, or hung beyond the reach of signals."""
    case = recorder.last()
    if case is None:
        raise LawError(f"The process ended while {job.source} was imported: {what}.")
    laws = laws_of(target_of(job.target))
    broken = hung(laws[-1], case, what)
    unjudged = {law.name: "a call never came back" for law in laws[:-1]}
    framework = job.framework or "not known"
    return report_of(
        Verdict(job.target, job.source, framework, [broken], [], unjudged, laws, job.max_examples, job.seed)
    )


def _work(theirs: Any, recorder: Recorder, jobs: Sequence[Job]) -> None:
    """The worker: judge all jobs, and leave no trace on disk or on the screen."""
    sys.dont_write_bytecode = True
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            sys.stdout = nowhere  # what the implementation prints, it prints a thousand times
            jobs = [single for job in jobs for single in _spelt_out(job)]
            theirs.send(("jobs", jobs))
            for job in jobs:
                function = load_function(job.source)
                verdict = judge(
                    job.target, function, job.framework, job.max_examples, job.seed, recorder.call, label=job.source
                )
                theirs.send(("report", report_of(verdict)))
    except LawError as error:
        theirs.send(("error", str(error)))
    except KeyboardInterrupt:
        pass
    except Exception:
        theirs.send(("bug", traceback.format_exc()))


def _spelt_out(job: Job) -> list[Job]:
    """A job for each target that a whole module implements. The module is imported, hence in the worker."""
    if job.target:
        return [job]
    return [replace(job, target=t, source=f"{job.source}:{function_name(t)}") for t in implemented(job.source)]
