"""The facts of a machine are read where the system keeps them, also in containers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from minipost.kernels import compiled
from minipost.machine import setup
from minipost.model.parallel import threads


def test_this_machine_is_read() -> None:
    s = setup.read()
    assert s.processor and s.python and s.compiled_for and s.llvm.count(".") == 2
    assert 1 <= s.usable_cores <= s.cores and s.threads == threads()
    assert s.disk > 0 and (s.memory is None or s.memory > 0)
    assert s.jit == compiled.jit_enabled() and s.numba == numba.__version__ and s.numpy == np.__version__


@pytest.mark.parametrize("ours", ["", "3", "0", "many", "-2"])
@pytest.mark.parametrize("theirs", [None, "", "5", "4,2"])
def test_the_variable_that_is_told_is_the_one_that_decides(
    ours: str, theirs: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINIPOST_THREADS", ours)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    alone = threads.__wrapped__() if not ours else 0  # what the cores alone make
    if theirs is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", theirs)
    name, ignored = setup.thread_variable()
    if name:
        assert threads.__wrapped__() == int(os.environ[name])
    else:
        assert (ignored is None) == (not ours and not theirs)
        assert not alone or threads.__wrapped__() == alone


GROUPS: list[tuple[str, dict[str, str], float | None, int | None]] = [
    ("no control groups", {}, None, None),
    ("no limit", {"cpu.max": "max 100000", "memory.max": "max"}, None, None),
    ("a limit", {"cpu.max": "150000 100000", "memory.max": "4096"}, 1.5, 4096),
    (
        "a group above has less",
        {"a/b/cpu.max": "800000 100000", "a/cpu.max": "200000 100000", "a/b/memory.max": "max", "a/memory.max": "8192"},
        2.0,
        8192,
    ),
    (
        "version 1",
        {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000", "memory/memory.limit_in_bytes": "2048"},
        0.5,
        2048,
    ),
    ("version 1 without a limit", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, None),
]


@pytest.mark.parametrize(("files", "cores", "memory"), [row[1:] for row in GROUPS], ids=[row[0] for row in GROUPS])
def test_limits_of_a_container(files: dict[str, str], cores: float | None, memory: int | None, tmp_path: Path) -> None:
    root, own = tmp_path / "groups", tmp_path / "cgroup"
    own.write_text("1:cpu:/\n0::/a/b\n")
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert setup.cpu_limit(root, own) == cores
    free = setup.free_memory(tmp_path / "none", own)
    assert setup.free_memory(root, own) == (free if memory is None else memory) or memory is None


@pytest.mark.parametrize(
    ("built", "name"),
    [
        ({"name": "scipy-openblas", "found": True, "version": "0.3.31"}, "scipy-openblas 0.3.31"),
        ({"name": "accelerate", "found": True, "version": "unknown"}, "accelerate unknown"),
        ({"name": "none", "found": False}, None),
        ({"name": "blas", "found": False}, None),
        ({}, None),
    ],
)
def test_numpys_library(built: dict[str, Any], name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "show_config", lambda mode: {"Build Dependencies": {"blas": built}})
    assert setup.blas() == name


def test_rosetta_is_asked_for_on_intel_builds_for_a_mac_only(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ["1"]
    monkeypatch.setattr(setup, "_sysctl", lambda name: answer[0])
    for system, machine, told, translated in (
        ("darwin", "x86_64", "1", True),
        ("darwin", "x86_64", "", False),  # an Intel Mac knows no such name
        ("darwin", "arm64", "0", False),
        ("linux", "x86_64", "1", False),
    ):
        answer[0] = told
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setattr(setup.platform, "machine", lambda machine=machine: machine)
        assert setup.is_translated() == translated


# --------------------------------------------------------------------------------------------------------- the compiler
def test_settings_of_the_compiler_are_told_as_the_environment_spells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (_, default) in compiled.SETTINGS.items():
        monkeypatch.setattr(numba.config, name, default)
    assert compiled.changed_settings() == ()
    monkeypatch.setattr(numba.config, "CPU_NAME", compiled.processor())  # this very processor
    assert compiled.changed_settings() == ()
    monkeypatch.setattr(numba.config, "CPU_NAME", "i386")
    monkeypatch.setattr(numba.config, "OPT", 0)
    assert compiled.changed_settings() == ("NUMBA_CPU_NAME=i386", "NUMBA_OPT=0")
    assert compiled.processor() == "i386"


COUNT = """
import sys
import numpy as np
from minipost.kernels import compiled
from minipost.autograd import fused
before, kernels = compiled.compiled_kernels()
fused.rms_norm(np.full((2, 4), 3.0, np.float32), np.ones(4, np.float32), 0.0)
print(before, compiled.compiled_kernels()[0], kernels, compiled.cache_folder())
"""


def count(tmp_path: Path, code: str = COUNT, **environment: str) -> tuple[int, int, int, str]:
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)} | environment
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    before, after, kernels, folder = done.stdout.split(maxsplit=3)
    return int(before), int(after), int(kernels), folder.strip()


def test_kernels_in_the_cache_are_counted_for_this_processor_only(tmp_path: Path) -> None:
    before, after, kernels, folder = count(tmp_path)  # before: the matrix product's, which compiles at its import
    assert before < after < kernels and Path(folder).is_relative_to(tmp_path)
    assert count(tmp_path)[:2] == (after, after)
    assert count(tmp_path, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")[0] == before


def test_without_a_place_for_the_cache_there_is_no_folder(tmp_path: Path) -> None:
    nowhere = "import numba.core.caching as c; c.CacheImpl._locator_classes = []\n"
    before, after, _, folder = count(tmp_path, nowhere + COUNT)
    assert (before, after, folder) == (0, 0, "None")


def test_without_a_compiler_facts_are_read_all_the_same() -> None:
    code = "from minipost.machine import setup; s = setup.read(); print(s.jit, s.cache)"
    env = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "False None\n"


def test_facts_are_plain_values() -> None:
    plain: Callable[[Any], bool] = lambda x: x is None or isinstance(x, str | int | float | bool)  # noqa: E731
    assert all(plain(x) or all(map(plain, x)) for x in asdict(setup.read()).values())
