"""A stranger's code, run so that nothing that it does keeps the verdict from coming. Each guard has its reason:

- `time_limit`: a loop that never ends would end the judging with it, so a timer's signal interrupts the call.
- `Sandbox`: some calls no signal reaches (they wait inside compiled code, or crash), so they run in a process of their
  own, which can be killed while the judge lives on.
- `recorded`: a process that died cannot say which arguments killed it, so they are written into memory that both
  processes see before each call: a flight recorder.
- `quiet`: warnings are the code's own business, a thousand of them nobody's; what counts is the value.
- Standard output goes nowhere in that process: what the code prints, it prints once for each example.
- No bytecode is written there: a user who asks for a verdict finds no new files beside their own.
- `copied` and `same`: code that writes to its arguments would spoil the next law's, so each call gets copies, and what
  has become of them is compared with what went in.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import numpy as np

from minipost.errors import UserError

TIME_LIMIT = 10.0  # seconds a call
TICK = 0.5  # seconds between two looks at how long a call has taken
WAITING = 0.25  # of the time in which a call does not compute
GRACE = 3.0  # seconds beyond the time limit in which a signal should have ended the call
POLL = 0.1  # seconds between two looks at the process
RECORDED = 1 << 20  # bytes of the flight recorder

T = TypeVar("T")


# ------------------------------------------------------------------------------------------------------ around one call
class Hung(BaseException):
    """A call went on for longer than the limit. No `Exception`, so that an implementation cannot catch it by habit."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `Hung` in a call that takes longer. Only the main thread of a POSIX system can be interrupted so.

    What counts is the process's own computing time, though at least a `WAITING` share of the clock's time. So a slow
    call on a busy machine does not count as a hanging one, nor does a call during which the laptop slept or the process
    was stopped. A call that waits without computing is given up later.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    spent, computed = 0.0, time.process_time()

    def tick(signum: int, frame: Any) -> None:
        nonlocal spent, computed
        now = time.process_time()
        spent += min(TICK, max(WAITING * TICK, now - computed))
        computed = now
        if spent >= seconds:  # and again at each further tick, should the first be caught
            raise Hung

    before = signal.signal(signal.SIGALRM, tick)
    left, _ = signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings, neither Python's nor NumPy's."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def copied(x: Any) -> Any:
    """A copy that lies in memory as `x` does: row by row, column by column, or with gaps."""
    if np.ndim(x) and not (x.flags.c_contiguous or x.flags.f_contiguous):
        return np.stack([x, x], axis=-1)[..., 0]
    return np.array(x, order="K")


def same(a: Any, b: Any) -> bool:
    """Whether two arrays have the same type, shape and elements."""
    return a.dtype == b.dtype and a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


# --------------------------------------------------------------------------------------------------- around the process
class Recorder:
    """Memory that both processes see: how many calls began and ended, and the arguments of the last."""

    def __init__(self, context: Any) -> None:
        self._turns, self._size = context.RawValue("q", 0), context.RawValue("q", 0)
        self._data = context.RawArray("c", RECORDED)

    @contextmanager
    def call(self, arguments: Any) -> Iterator[None]:
        data = pickle.dumps(arguments)
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

    def last(self) -> Any:
        """The arguments of the last call, None if there was none."""
        return pickle.loads(self._data[: self._size.value]) if self._size.value else None


_recorder: Recorder | None = None  # of this process, if it is a sandbox


@contextmanager
def recorded(arguments: Any) -> Iterator[None]:
    """Entered around each call: in a sandbox, the flight recorder gets its arguments."""
    if _recorder is None:
        yield
        return
    with _recorder.call(arguments):
        yield


class Died(Exception):  # noqa: N818
    """The process of a sandbox is gone: `what` it did ("" if it hung), and the arguments of the last call, if any."""

    def __init__(self, what: str, arguments: Any) -> None:
        super().__init__(what)
        self.what, self.arguments = what, arguments


class Sandbox:
    """A process for a stranger's code: `call(f, *arguments)` is `f(*arguments)` there, and what it returns.

    A `UserError` there is one here; any other exception is a bug of ours, a `RuntimeError` with its traceback. If the
    process dies, or hangs within `recorded`, `call` raises `Died`; the next one starts another process.
    """

    def __init__(self) -> None:
        self._process: Any = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        if self._process is None:
            self._start()
        self._pipe.send((function, arguments))
        outcome, value = self._answer()
        if outcome == "refused":
            raise UserError(value)
        if outcome == "raised":
            raise RuntimeError(value)
        returned: T = value
        return returned

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit locks of threads that it does not have
        self._pipe, far_end = context.Pipe()
        self._recorder = Recorder(context)
        self._process = context.Process(target=_serve, args=(far_end, self._recorder), daemon=True)
        self._process.start()
        far_end.close()

    def _answer(self) -> tuple[str, Any]:
        """What the process sends back. Waits are counted, not the clock's time, which runs while a laptop sleeps."""
        turns, waits = self._recorder.turns, 0
        while not self._pipe.poll(POLL):
            now = self._recorder.turns
            waits = waits + 1 if now == turns and now % 2 else 0
            turns = now
            if waits * POLL > TIME_LIMIT / WAITING + GRACE:
                self._end()
                raise Died("", self._recorder.last())
        try:
            answer: tuple[str, Any] = self._pipe.recv()
            return answer
        except EOFError:
            self._process.join()
            what = f"it ended the process (exit code {self._process.exitcode})"
            self._process = None
            raise Died(what, self._recorder.last()) from None

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def _serve(pipe: Any, recorder: Recorder) -> None:
    """What the process does: call functions, until nobody asks any more."""
    global _recorder
    _recorder = recorder
    sys.dont_write_bytecode = True
    with open(os.devnull, "w", encoding="utf-8") as nowhere, suppress(KeyboardInterrupt, EOFError):
        sys.stdout = nowhere
        while True:
            function, arguments = pipe.recv()
            try:
                answer = "returned", function(*arguments)
            except UserError as error:
                answer = "refused", str(error)
            except Exception:
                answer = "raised", traceback.format_exc()
            pipe.send(answer)
