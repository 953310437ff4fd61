"""A call is given up after its time; what a process of its own cannot survive, this one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minipost.errors import UserError
from minipost.laws import sandbox
from minipost.laws.sandbox import Died, Sandbox

interruptible = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this system")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "TICK", 0.05)


@interruptible
def test_a_long_call_is_given_up() -> None:
    started = time.process_time()
    with pytest.raises(sandbox.Hung), sandbox.time_limit(0.5):
        while True:
            pass
    assert time.process_time() - started >= 0.4


@interruptible
def test_a_call_that_only_waits_is_given_up_too() -> None:
    started = time.monotonic()
    with pytest.raises(sandbox.Hung), sandbox.time_limit(0.2):
        time.sleep(60)
    assert 0.4 <= time.monotonic() - started < 30


# time in which the whole process stood still does not count
@interruptible
def test_a_process_that_was_stopped_has_not_hung() -> None:
    with sandbox.time_limit(0.5):
        subprocess.Popen(["sh", "-c", f"sleep 1.5; kill -CONT {os.getpid()}"])
        started = time.monotonic()
        os.kill(os.getpid(), signal.SIGSTOP)
        assert time.monotonic() - started > 0.5


# ------------------------------------------------------------------------------------------- what runs in the sandbox
def process() -> tuple[int, bool]:
    print("chatter")
    return os.getpid(), sys.dont_write_bytecode


def refuses() -> None:
    raise UserError("There is no such thing.")


def fails() -> None:
    raise ZeroDivisionError("by nought")


def dies(arguments: list[int]) -> None:
    with sandbox.recorded(arguments):
        os._exit(7)


def hangs(arguments: list[int]) -> None:
    with sandbox.recorded(arguments):
        time.sleep(60)


def test_calls_go_to_one_silent_process_and_come_back(capfd: pytest.CaptureFixture[str]) -> None:
    with Sandbox() as box:
        first, again = box.call(process), box.call(process)
        assert first == again and first[0] != os.getpid() and first[1]
        with pytest.raises(UserError, match="There is no such thing"):
            box.call(refuses)
        with pytest.raises(RuntimeError, match="by nought"):
            box.call(fails)
        assert box.call(process) == first
    assert not capfd.readouterr().out


def test_what_dies_is_told_with_its_arguments_and_the_next_call_has_another_process() -> None:
    with Sandbox() as box:
        first = box.call(process)
        with pytest.raises(Died) as death:
            box.call(dies, [1, 2])
        assert (death.value.what, death.value.arguments) == ("it ended the process (exit code 7)", [1, 2])
        assert box.call(process) != first


def test_what_hangs_where_no_signal_reaches_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "TIME_LIMIT", 0.1)
    monkeypatch.setattr(sandbox, "GRACE", 0.1)
    with Sandbox() as box, pytest.raises(Died) as death:
        box.call(hangs, [3])
    assert (death.value.what, death.value.arguments) == ("", [3])


def test_copies_lie_in_memory_as_the_original_does() -> None:
    gaps = np.arange(12.0).reshape(3, 4)[:, ::2]
    for x in (gaps, np.asfortranarray(np.ones((2, 3))), np.zeros(4, np.float32)):
        y = sandbox.copied(x)
        assert sandbox.same(x, y) and not np.shares_memory(x, y)
        assert (x.flags.c_contiguous, x.flags.f_contiguous) == (y.flags.c_contiguous, y.flags.f_contiguous)
    assert not sandbox.same(gaps, gaps.astype(np.float32)) and not sandbox.same(gaps, gaps + 1)
