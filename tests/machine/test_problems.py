"""Each problem is told where it is, with its fix, and nothing is told where all is well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from machines import FAST, FINE
from nano import configs

from minipost.machine import setup, speed
from minipost.machine.problems import of_setup, warn_if_slow
from minipost.stages import pretrain

GB = 1 << 30
WRONG: list[tuple[dict[str, Any], str, str]] = [  # facts, kind, the sentence
    ({"jit": False, "cache": None}, "slow", "NUMBA_DISABLE_JIT makes every kernel run as plain Python: unset it."),
    (
        {"translated": True},
        "slow",
        "this Python is built for Intel, and Rosetta translates it: install a Python for Apple silicon, whose "
        "platform.machine() is arm64.",
    ),
    ({"debug_build": True}, "slow", "this Python is a debug build: install a release build."),
    (
        {"compiler_settings": ("NUMBA_CPU_NAME=haswell",)},
        "slow",
        "NUMBA_CPU_NAME=haswell makes Numba compile other code than the best for this machine: unset NUMBA_CPU_NAME.",
    ),
    (
        {"cache": None},
        "slow",
        "no folder for compiled kernels can be written, so each process compiles them anew: set NUMBA_CACHE_DIR to a "
        "folder that can.",
    ),
    (
        {"threads": 1, "threads_from": "OMP_NUM_THREADS"},
        "slow",
        "OMP_NUM_THREADS=1 leaves 15 of 16 cores idle: set MINIPOST_THREADS=16, which goes before it.",
    ),
    (
        {"threads": 32, "threads_from": "MINIPOST_THREADS"},
        "slow",
        "MINIPOST_THREADS=32 starts 32 threads for 16 cores, and they wait for each other: set MINIPOST_THREADS=16.",
    ),
    (
        {"threads": 2, "threads_from": "OMP_NUM_THREADS", "cores": 1},
        "slow",
        "OMP_NUM_THREADS=2 starts 2 threads for 1 core, and they wait for each other: set MINIPOST_THREADS=1.",
    ),
    (
        {"cpu_limit": 1.5},
        "slow",
        "there are 16 threads for the 1.5 of 16 cores that this container may use, and they wait for each other: set "
        "MINIPOST_THREADS=2.",
    ),
    (
        {"threads_ignored": "MINIPOST_THREADS=all"},
        "wrong",
        "MINIPOST_THREADS=all is no whole number above 0 and is ignored: correct or unset MINIPOST_THREADS.",
    ),
    (
        {"memory": GB // 2},
        "wrong",
        "0.5 GB of memory are free, and a tour may need 1.1: end other programs, or take --size nano.",
    ),
    (
        {"disk": 100_000_000},
        "wrong",
        "0.1 GB are free on the disk of this folder, and a tour may need 0.3: make room, or work in another folder.",
    ),
    (
        {"blas": None},
        "note",
        "NumPy was built without a BLAS; training does not need one, but other programs' products are slow: pip "
        "install --force-reinstall --only-binary :all: numpy.",
    ),
    (
        {"load": 9.0},
        "note",
        "other programs are at work (load 9.0 on 16 cores), so that the figures here are low: end them and measure "
        "again.",
    ),
]
FINE_TOO: list[dict[str, Any]] = [
    {},
    {"threads": 1, "threads_from": "MINIPOST_THREADS"},  # asked for minipost itself: no accident
    {"threads": 9, "threads_from": "OMP_NUM_THREADS"},
    {"threads": 1, "threads_from": "OMP_NUM_THREADS", "cores": 1},
    {"threads": 2, "cpu_limit": 2.0},
    {"threads": 1, "threads_from": "OMP_NUM_THREADS", "cpu_limit": 0.5},
    {"cpu_limit": 64.0},
    {"memory": None, "load": None},
]


@pytest.mark.parametrize(("facts", "kind", "sentence"), WRONG, ids=[", ".join(facts) for facts, _, _ in WRONG])
def test_a_problem_is_one_sentence_with_its_fix(facts: dict[str, Any], kind: str, sentence: str) -> None:
    assert [(p.kind, str(p)) for p in of_setup(replace(FINE, **facts))] == [(kind, sentence)]


@pytest.mark.parametrize("facts", FINE_TOO, ids=str)
def test_where_all_is_well_nothing_is_said(facts: dict[str, Any]) -> None:
    assert list(of_setup(replace(FINE, **facts))) == []


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        ({"product_one": 5e9}, "one thread multiplies at 5.0 GFLOP/s, where AVX-512 gives 12 and more"),
        ({"product_shape": 30e9}, "kernels multiply at 29 % of NumPy's speed"),
        ({"product_all": 200e9}, "16 threads together multiply only 1.8 times as fast as one"),
    ],
)
def test_what_is_measured_too_slow_is_told(facts: dict[str, Any], what: str) -> None:
    (problem,) = speed.problems_of(replace(FAST, **facts), FINE)
    assert (problem.kind, problem.what) == ("slow", what)
    assert "measure again" in problem.fix


def test_what_is_measured_as_expected_is_not() -> None:
    assert list(speed.problems_of(FAST, FINE)) == []
    matrix_unit = replace(FAST, numpy_shape=1500e9)
    assert list(speed.problems_of(matrix_unit, replace(FINE, blas="accelerate unknown"))) == []
    assert (
        list(speed.problems_of(replace(FAST, instruction_set="portable", product_one=3e9, product_all=48e9), FINE))
        == []
    )
    too_many = replace(FINE, threads=64)  # told by the setup already
    assert list(speed.problems_of(FAST, too_many)) == []


# --------------------------------------------------------------------------------------------- the line before training
@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is different on the machine of the test; nobody has been warned yet."""
    facts: dict[str, Any] = {}
    monkeypatch.setattr(setup, "read", lambda: replace(FINE, **facts))
    warn_if_slow.cache_clear()
    return facts


def test_a_slow_setup_is_told_in_one_line_and_once(machine: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    machine |= {"threads": 1, "threads_from": "OMP_NUM_THREADS"}
    warn_if_slow()
    warn_if_slow()
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "Training is slow here: OMP_NUM_THREADS=1 leaves 15 of 16 cores idle; run `minipost doctor`.\n"


def test_of_several_problems_the_worst_is_told(machine: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    machine |= {"jit": False, "threads": 99, "debug_build": True}
    warn_if_slow()
    line = "Training is slow here: NUMBA_DISABLE_JIT makes every kernel run as plain Python (and 2 more); run"
    assert capsys.readouterr().err == f"{line} `minipost doctor`.\n"


@pytest.mark.parametrize("facts", [{}, {"blas": None}, {"load": 40.0}, {"disk": 0}])
def test_what_does_not_slow_training_is_not_told_before_it(
    facts: dict[str, Any], machine: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    machine |= facts
    warn_if_slow()
    assert capsys.readouterr() == ("", "")


def test_a_stage_says_it_before_its_first_update(
    machine: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine |= {"translated": True}
    for name in ("once", "again"):  # a tour has several stages, and says it once
        pretrain.run(replace(configs(tmp_path)["pretrain"], out=tmp_path / name))
    told = capsys.readouterr().err
    assert told.count("run `minipost doctor`") == 1
    assert told.index("Training is slow here") < told.index("step 0")


def test_the_kinds_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs/commands.md").read_text(encoding="utf-8")
    assert {kind for _, kind, _ in WRONG} == {"slow", "wrong", "note"}
    assert all(f"| `{kind}` |" in page for _, kind, _ in WRONG)
