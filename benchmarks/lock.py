"""How long Python's lock is held: a compiled loop in a thread of its own, which needs no lock, reads the lock's flag.

The flag stands in the interpreter's runtime structure, which has a public address, behind the switch interval and a
pointer. The switch interval can be set from Python: the place where a rare value shows up is the place to look. Before
anything is measured the flag must have been read as held while Python counted, and as free while it slept.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minipost.kernels.jit import kernel

RARE = 4321  # microseconds of the switch interval, which is 5000 by default
BEHIND = 16  # bytes from the interval to the flag: the interval and a pointer to the last thread that held the lock
FAR = 1 << 20  # bytes of the structure that are searched at most


@kernel
def watch(flag: Any, stop: Any, counts: Any) -> None:
    """Until `stop[0]`: counts[0] samples, counts[1] of them with the flag set, each some 100 ns after the last.

    What keeps the pause from being compiled away is written to counts[2].
    """
    x = counts[2]
    while stop[0] == 0:
        for _ in range(100):
            x = x * 1664525 + 1013904223
        counts[2] = x
        counts[0] += 1
        counts[1] += flag[0]


def flag_of_the_lock() -> Any:
    """The flag as an array int32[1], or None where this Python keeps it elsewhere or has none."""
    try:
        start = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    except ValueError:
        return None
    before = sys.getswitchinterval()
    sys.setswitchinterval(RARE / 1e6)
    try:
        place = next((at for at in range(start, start + FAR, 8) if ctypes.c_ulong.from_address(at).value == RARE), None)
    finally:
        sys.setswitchinterval(before)
    return None if place is None else np.ctypeslib.as_array((ctypes.c_int32 * 1).from_address(place + BEHIND))


Held = Callable[[Callable[[], Any]], float]  # seconds of a call in which the lock was held


@contextmanager
def watched() -> Iterator[Held | None]:
    """Yields `held(call)`, or None where the lock cannot be watched. Takes one core while it is open."""
    flag = flag_of_the_lock()
    if flag is None:
        yield None
        return
    stop, counts = np.zeros(1, np.int32), np.zeros(3, np.int64)
    watch(flag, np.ones(1, np.int32), counts)  # compile
    watcher = threading.Thread(target=watch, args=(flag, stop, counts), daemon=True)
    watcher.start()

    def held(call: Callable[[], Any]) -> float:
        before, started = counts.copy(), time.perf_counter()
        call()
        seconds, (samples, locked, _) = time.perf_counter() - started, counts - before
        return seconds * float(locked) / max(1.0, float(samples))

    try:
        counting, sleeping = held(lambda: sum(range(300_000))), held(lambda: time.sleep(0.01))
        yield held if counting > 1e-3 > sleeping else None
    finally:
        stop[0] = 1
        watcher.join()
