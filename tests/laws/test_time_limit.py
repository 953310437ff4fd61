"""A call is given up after its time; time in which the whole process stood still does not count."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from minipost.laws import candidate

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer on this system")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate, "TICK", 0.05)


def test_a_long_call_is_given_up() -> None:
    started = time.process_time()
    with pytest.raises(candidate.Hung), candidate._limited(0.5):
        while True:
            pass
    assert time.process_time() - started >= 0.4


def test_a_call_that_only_waits_is_given_up_too() -> None:
    started = time.monotonic()
    with pytest.raises(candidate.Hung), candidate._limited(0.2):
        time.sleep(60)
    assert 0.4 <= time.monotonic() - started < 30


def test_a_process_that_was_stopped_has_not_hung() -> None:
    with candidate._limited(0.5):
        subprocess.Popen(["sh", "-c", f"sleep 1.5; kill -CONT {os.getpid()}"])
        started = time.monotonic()
        os.kill(os.getpid(), signal.SIGSTOP)
        assert time.monotonic() - started > 0.5
