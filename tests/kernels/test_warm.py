"""The kernels of a training step compile on several cores: all that it needs, with the same bits, and at any rate."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from numba.core.caching import IndexDataCacheFile
from test_compiling import STEP, run

from minipost.kernels import jit, warm

COUNT = """
from numba.core import event
from minipost.kernels import warm

class Count(event.Listener):
    compiled = 0
    def on_start(self, event):
        self.compiled += 1
    def on_end(self, event):
        pass

count, together = Count(), warm.compile_together
def and_count(*arguments):
    together(*arguments)
    event.register("numba:compile", count)
warm.compile_together = and_count
"""
ALONE = "warm.compile_together = lambda *arguments: None\n"


def test_a_training_run_compiles_nothing_else_and_has_the_bits_of_one_process(tmp_path: Path) -> None:
    def train(cache: str, name: str, before: str) -> tuple[str, list[str]]:
        code = before + STEP.replace("sys.argv[1]", repr(str(tmp_path / name))) + "print(count.compiled)"
        done = run(code, NUMBA_CACHE_DIR=str(tmp_path / cache), MINIPOST_THREADS="2")
        return done.stderr, done.stdout.split()

    several = "import minipost.stages.base as base; base.cores = lambda: 2\n"  # on a machine of one core, too
    cold, together = train("several", "cold", several + COUNT)
    warmed, cached = train("several", "warm", several + COUNT)
    alone, single = train("one", "alone", COUNT + ALONE)
    assert together[-1] == cached[-1] == "0"
    assert together == cached == single
    assert [text.count("Compiling kernels") for text in (cold, warmed, alone)] == [1, 0, 1]


class Fake:
    """A part that notes that it was compiled."""

    def __init__(self, seconds: float, ready: bool = False) -> None:
        self.seconds, self.ready, self.compiled = seconds, ready, 0

    def is_ready(self) -> bool:
        return self.ready

    def compile(self) -> None:
        self.compiled += 1


def use(monkeypatch: pytest.MonkeyPatch, **parts: Fake) -> None:
    monkeypatch.setattr(warm, "PARTS", parts)


def test_the_shares_hold_every_kernel_once_and_take_about_the_same_time() -> None:
    names = [name for name in warm.PARTS if name != "bfloat16"]
    for processes in (1, 2, 3):
        found = warm.shares(names, processes)
        assert sorted(name for share in found for name in share) == sorted(names)
    own, other = (sum(warm.PARTS[name].seconds for name in share) for share in warm.shares(names, 2))
    assert abs(own - other - warm.START) < 0.5


@pytest.mark.parametrize("how", ["one core", "all ready", "little", "left out", "no Python", "embedded"])
def test_no_helper_is_started_in_vain(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "start", lambda names: pytest.fail("started"))
    a, b = (Fake(0.1 if how == "little" else 9, ready=how == "all ready") for _ in range(2))
    use(monkeypatch, a=a, b=b)
    if how in ("no Python", "embedded"):
        monkeypatch.setattr(sys, "executable", "" if how == "no Python" else "/usr/bin/blender")
    warm.compile_together(1 if how == "one core" else 8, ["a", "b"] if how == "left out" else [])
    assert a.compiled == b.compiled == 0


def test_a_helper_that_dies_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, started, start = Fake(9), Fake(8), [], warm.start
    use(monkeypatch, a=a, b=b)
    monkeypatch.setattr(warm, "start", lambda names: started.append(start(names)) or started[0])
    warm.compile_together(2)
    assert (a.compiled, b.compiled) == (1, 0)
    assert started[0].poll() == 1  # it knows no part called "b"


def test_a_helper_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, a=Fake(9), b=Fake(8))
    hung = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    monkeypatch.setattr(warm, "start", lambda names: hung)
    monkeypatch.setattr(warm, "PATIENCE", 0.1)
    warm.compile_together(2)
    assert hung.wait(20) != 0


def test_a_helper_that_cannot_start_is_survived(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, a=Fake(9), b=Fake(8))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    warm.compile_together(2)


def test_where_nothing_is_compiled_or_kept_all_is_ready() -> None:
    code = "from minipost.kernels import warm; print(all(part.is_ready() for part in warm.PARTS.values()))"
    nowhere = "import numba.core.caching as c; c.CacheImpl._locator_classes = []\n"
    assert run(nowhere + code).stdout == run(code, NUMBA_DISABLE_JIT="1").stdout == "True\n"


def test_processes_that_save_at_the_same_time_do_not_mix_up_their_code(tmp_path: Path) -> None:
    def cache() -> Any:
        kernel: Any = types.SimpleNamespace(_cache=types.SimpleNamespace())
        kernel._cache._cache_file = IndexDataCacheFile(str(tmp_path), "kernel", "stamp")
        return jit.with_stamp(kernel)._cache._cache_file

    first, second = cache(), cache()
    first._load_index = dict  # read before the second one wrote
    second.save("float64", "code for float64")
    first.save("float32", "code for float32")
    assert cache().load("float32") == "code for float32"
    assert cache().load("float64") is None  # lost: it will be compiled again
    second.save("float64", "code for float64")
    assert [cache().load(name) for name in ("float32", "float64")] == ["code for float32", "code for float64"]
