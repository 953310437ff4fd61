"""`minipost doctor`: one page, the same facts as JSON, and an exit code that says whether something must be fixed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from machine.machines import FAST, FINE

from minipost import cli, doctor
from minipost.doctor import PRETRAINING_SHARE, Training
from minipost.machine import setup
from minipost.stages.pretrain import PretrainConfig

TRAINED = Training(first_update=9.1, update=0.0305, update_bfloat16=0.0203, tokens=512, pretraining=256.2, tour=465.8)
Doctor = Callable[..., tuple[int, str]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Runs the command on a machine that differs from a fine one in these facts; returns code and standard output."""

    def run(*argv: str, counted: tuple[int, int] = (20, 31), **facts: Any) -> tuple[int, str]:
        monkeypatch.setattr(setup, "read", lambda: replace(FINE, **facts))
        monkeypatch.setattr(doctor, "compiled_kernels", lambda: counted)
        monkeypatch.setattr(doctor, "measure", lambda threads, shape: FAST)
        monkeypatch.setattr(doctor, "train", lambda: TRAINED)
        return cli.main(["doctor", *argv]), capsys.readouterr().out

    return run


def test_a_machine_that_is_fine(ask: Doctor) -> None:
    code, page = ask()
    assert code == 0
    assert "  well       Nothing has to be fixed." in page.splitlines()
    for fact in (
        "16 cores",
        "3.12.1",
        "2.4.6 with scipy-openblas 0.3.31",
        "0.68.1 with LLVM 22.1.0, compiles for znver4",
        "20 of 31 compiled for this machine, in /home/me/.cache/kernels",
        "110.0 GFLOP/s on one thread, 1440.0 on 16",
        "12.0 GB/s on one thread, 40.0 on 16",
        "AVX-512, tile 8 x 32: 112.0 GFLOP/s at [128,128] x [128,704], where NumPy reaches 104.0",
        "30.5 ms for an update of 512 tokens: 16,787 tokens/s",
        "some 8 minutes, 4 minutes of it pretraining (an estimate)",
    ):
        assert fact in " ".join(page.split()), fact


def test_the_page_is_narrow_and_aligned_and_without_colour_in_a_pipe(ask: Doctor) -> None:
    for facts in (
        {},
        {"jit": False},
        {"cache": None, "cpu_limit": 2.0},
        {"blas": None, "threads_from": "MINIPOST_THREADS"},
    ):
        title, *lines = ask(**facts)[1].splitlines()
        assert title.startswith("minipost ")
        assert max(map(len, lines)) < 80
        assert all(line[12] == " " and line[13] != " " for line in lines if line)
        assert "\x1b" not in "".join(lines)


def test_what_must_be_fixed_is_told_and_counts(ask: Doctor) -> None:
    code, page = ask(threads=1, threads_from="OMP_NUM_THREADS", blas=None)
    assert code == 2
    assert "slow OMP_NUM_THREADS=1 leaves 15 of 16 cores idle: set MINIPOST_THREADS=16" in " ".join(page.split())
    assert "Nothing has to be fixed" not in page
    code, page = ask(blas=None)  # a note
    assert code == 0 and "NumPy was built without a BLAS" in page and "Nothing has to be fixed" in page


def test_without_a_compiler_nothing_is_measured(ask: Doctor) -> None:
    code, page = ask(jit=False, cache=None)
    assert code == 2 and "GFLOP/s" not in page and "switched off" in page
    facts = json.loads(ask("--json", jit=False, cache=None)[1])
    assert facts["speed"] is facts["training"] is None


def test_a_cold_cache_is_told(ask: Doctor) -> None:
    page = " ".join(ask(counted=(0, 31))[1].split())
    assert "none of 31 was compiled for this machine: the first update compiled for 9.1 s" in page
    assert "kept nowhere: the first update compiled for 9.1 s" in " ".join(ask(cache=None)[1].split())


def test_json_has_the_same_facts(ask: Doctor) -> None:
    code, printed = ask("--json", debug_build=True)
    facts = json.loads(printed)
    assert code == 2 and facts["ok"] is False
    assert facts["setup"] == json.loads(json.dumps(asdict(replace(FINE, debug_build=True))))
    assert facts["speed"] == json.loads(json.dumps(asdict(FAST)))
    assert facts["training"] == asdict(TRAINED)
    assert (facts["compiled"], facts["kernels"]) == (20, 31)
    (problem,) = facts["problems"]
    assert problem == {"kind": "slow", "what": "this Python is a debug build", "fix": "install a release build"}
    assert json.loads(ask("--json")[1])["ok"] is True


@pytest.mark.parametrize(
    ("seconds", "words"), [(7, "7 seconds"), (119, "119 seconds"), (480, "8 minutes"), (18_000, "5 hours")]
)
def test_an_estimate_is_as_precise_as_it_is(seconds: float, words: str) -> None:
    assert doctor.about(seconds) == words


def test_updates_are_timed_and_a_tour_follows_from_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TIMED", 0.0)
    tiny = PretrainConfig(tokens=10_000, vocab_size=64, dim=16, layers=1, heads=2, kv_heads=2, hidden=16, row_length=16)
    t = doctor.train(tiny)
    assert t.tokens == tiny.batch_size * tiny.row_length
    assert t.update > 0 and t.first_update > 0
    assert t.pretraining == pytest.approx(t.update * tiny.tokens / t.tokens)
    assert t.tour == pytest.approx(t.pretraining / PRETRAINING_SHARE) and 0 < PRETRAINING_SHARE < 1


def test_the_product_is_that_of_a_training_step(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, rows in ((1, 4), (2, 2), (3, 2), (4, 1), (16, 1)):
        monkeypatch.setattr(doctor, "threads", lambda count=count: count)
        assert doctor.shape_of_products(PretrainConfig()) == (rows * 128, 128, 704)


def test_the_command_on_this_machine(tmp_path: Path) -> None:
    """All of it, in a process without a compiler, where nothing takes long."""
    env = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    argv = [sys.executable, "-m", "minipost", "doctor", "--json"]
    done = subprocess.run(argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert json.loads(done.stdout)["problems"][0]["fix"] == "unset it"
    assert "Traceback" not in done.stderr
