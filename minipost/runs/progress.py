"""What a run says while it works, and how it stops when it is asked to.

On a terminal: one live line with a bar, the rate, the time left and a few metrics. Elsewhere (a log file, a pipe): one
plain line for every tenth of the way. Both go to stderr, so that stdout stays free for results.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as LiveBar


class Progress:
    """Counts steps and units, and shows after each step what they make of the rate and the time left."""

    def __init__(self, total: int, done: int, unit: str, show: Callable[[int, list[str]], None]) -> None:
        """`show` is given the steps done so far and what there is to say."""
        self.total, self.done, self.unit = total, done, unit
        self._show = show
        self._timed_steps, self._timed_units, self._start = -1, 0.0, 0.0

    def advance(self, units: float = 1, **metrics: float) -> None:
        """One more step is done; it took `units` (tokens, pairs, ...) and stands at these metrics."""
        self.done += 1
        self._timed_steps += 1
        if self._timed_steps == 0:
            self._start = time.perf_counter()  # the first step compiles the kernels and would spoil the rate for long
        else:
            self._timed_units += units
        self._show(self.done, [*self._speed(), *(f"{name} {value:.4g}" for name, value in metrics.items())])

    def _speed(self) -> list[str]:
        seconds = time.perf_counter() - self._start
        if self._timed_steps < 1 or seconds <= 0:
            return []
        left = round(seconds / self._timed_steps * (self.total - self.done))
        return [f"{self._timed_units / seconds:,.0f} {self.unit}/s", f"{left // 60}:{left % 60:02d} left"]


@contextmanager
def progress(
    total: int, description: str, unit: str = "tok", *, done: int = 0, stream: TextIO | None = None
) -> Iterator[Progress]:
    """Show `total` steps, of which a resumed run has `done` some already; call `advance` after each.

    The rate is in `unit`s per second, whatever `advance` counts as its units. Obeys NO_COLOR.
    """
    stream = stream or sys.stderr
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield Progress(total, done, unit, _lines(total, description, stream))
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[status]}"))
    with LiveBar(*columns, console=Console(file=stream)) as live:
        task = live.add_task(description, total=total, completed=done, status="")

        def show(done: int, parts: list[str]) -> None:
            live.update(task, completed=done, status=" · ".join(parts))

        yield Progress(total, done, unit, show)


def _lines(total: int, description: str, stream: TextIO) -> Callable[[int, list[str]], None]:
    def show(done: int, parts: list[str]) -> None:
        if done * 10 // total > (done - 1) * 10 // total:
            print(", ".join([f"{description} {done}/{total}", *parts]), file=stream, flush=True)

    return show


class Interrupted(KeyboardInterrupt):
    """A run has stopped as asked, with its state saved; the command line prints the text and exits with 130."""


class Interrupt:
    """Whether Ctrl-C has been pressed."""

    def __init__(self) -> None:
        self.requested = False

    def stop(self, step: int) -> NoReturn:
        """Leave the run, after its checkpoint of `step` is saved. Raises `Interrupted`."""
        raise Interrupted(f"Stopped after step {step}, which is saved; repeat the command with --resume to go on.")


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """While the block runs, the first Ctrl-C only sets `requested`, and the stage stops at the end of its step.

    A step that is cut in two would leave weights that belong to no step. The second Ctrl-C raises `KeyboardInterrupt`
    at once, and the previous checkpoint remains. Outside of the main thread, where Python delivers no signals, nothing
    changes.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if interrupt.requested:
            raise KeyboardInterrupt
        interrupt.requested = True
        print("\nStopping at the end of this step; press Ctrl-C again to stop at once.", file=sys.stderr)

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
