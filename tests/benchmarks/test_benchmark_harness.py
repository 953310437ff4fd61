"""The harness: turns, statistics, and what it says when a contender fails. No test depends on how fast anything is."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from contenders import MACHINE, broken, dying, sees, sleeper
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import harness
from benchmarks.growth import exponent
from benchmarks.harness import DROPPED, BenchmarkError, Contender, noted, race, run_block, spread
from benchmarks.sizes import SIZES, scaled, size_named
from benchmarks.table import figure
from minipost.machine.setup import cpu_name


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=50))
def test_a_spread_is_ordered_and_within_its_values(seconds: list[float]) -> None:
    s = spread(seconds)
    assert min(seconds) <= s["p10"] <= s["median"] <= s["p90"] <= max(seconds) or math.isclose(s["p10"], s["p90"])


def test_the_first_steps_of_a_block_do_not_count() -> None:
    calls = []
    block = run_block(lambda: calls.append(1), 0.02)
    assert len(block["seconds"]) == len(calls) - DROPPED > 0
    assert block["clock"] >= sum(block["seconds"])


def test_the_parts_of_a_step_are_kept_for_the_steps_that_count() -> None:
    parts: dict[str, list[float]] = {}

    def step() -> None:
        noted(parts, "first", lambda: time.sleep(0.001))
        noted(parts, "second", lambda: None)

    step()  # while a contender builds
    block = run_block(step, 0.02, parts)
    first, second = block["parts"]["first"], block["parts"]["second"]
    assert len(first) == len(second) == len(block["seconds"])
    assert all(a + b <= whole for a, b, whole in zip(first, second, block["seconds"], strict=True))


def test_a_contender_has_an_environment_and_an_interpreter_of_its_own() -> None:
    changed = {"MINIPOST_THREADS": "3"}
    here = Contender("here", sees, ("MINIPOST_THREADS",), changed)
    tests = str(Path(__file__).parent)
    elsewhere = Contender("elsewhere", sees, ("MINIPOST_THREADS",), {**changed, "PYTHONPATH": tests}, sys.executable)
    rows = race([here, elsewhere], rounds=1, seconds=0.01)
    assert [row.facts["value"] for row in rows.values()] == ["3", "3"]
    assert len({row.facts["process"] for row in rows.values()}) == 2 and all(row.seconds for row in rows.values())
    assert os.environ.get("MINIPOST_THREADS") != "3"
    with pytest.raises(BenchmarkError, match="lost's process died"):
        race([Contender("lost", sleeper, (1.0,), {}, sys.executable)])  # this one does not find the tests' module


def test_a_block_of_long_steps_has_one_that_counts() -> None:
    calls = []
    times = iter(np.arange(100) * 1.0)
    original, harness.time.perf_counter = harness.time.perf_counter, lambda: float(next(times))
    try:
        block = run_block(lambda: calls.append(1), 0.5)  # each look at this clock takes a second
    finally:
        harness.time.perf_counter = original
    assert len(calls) == 2 and len(block["seconds"]) == 1


def test_contenders_live_in_processes_of_their_own_and_take_turns() -> None:
    seen: dict[str, object] = {}
    rows = race(
        [Contender("a", sleeper, (1.0,)), Contender("b", sleeper, (3.0,))],
        rounds=2,
        seconds=0.02,
        check=lambda facts: seen.update(facts),
    )
    processes = {row.facts["process"] for row in rows.values()}
    assert len(processes) == 2 and os.getpid() not in processes
    assert list(seen) == ["a", "b"]
    for row in rows.values():
        s = row.summary()
        assert s["median"] > 0 and s["peak_mb"] > 1 and 0 <= s["disturbed"] <= 1 and s["steps"] == len(row.seconds)
        json.dumps(s, allow_nan=False)


def test_nothing_is_timed_before_the_results_agree() -> None:
    def refuse(facts: object) -> None:
        raise BenchmarkError("they differ")

    with pytest.raises(BenchmarkError, match="they differ"):
        race([Contender("a", sleeper, (1.0,))], check=refuse)


@pytest.mark.parametrize(("build", "said"), [(broken, "b cannot run.*no such thing"), (dying, "b's process died")])
def test_a_contender_that_fails_is_named(build: object, said: str) -> None:
    with pytest.raises(BenchmarkError, match=said):
        race([Contender("b", build)])  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", [{"rounds": 0}, {"seconds": 0.0}])
def test_no_time_at_all_is_refused(amount: dict[str, float]) -> None:
    with pytest.raises(BenchmarkError, match="raise --rounds or --seconds"):
        race([Contender("a", sleeper, (1.0,))], **amount)  # type: ignore[arg-type]


@given(st.floats(-3, 3), st.floats(0.1, 10))
def test_the_exponent_of_a_power_law_is_found(b: float, a: float) -> None:
    x = [1.0, 2.0, 5.0, 9.0]
    assert exponent(x, [a * value**b for value in x]) == pytest.approx(b, abs=1e-6)


def test_the_roof_is_the_lower_of_two() -> None:
    assert MACHINE.roof(1e6) == 200e9 and MACHINE.roof(0.5) == 15e9
    assert cpu_name() and "200 GFLOP/s" in str(MACHINE)


@pytest.mark.parametrize("name", SIZES)
def test_a_size_counts_the_parameters_that_its_weights_have(name: str) -> None:
    size = SIZES[name]
    assert size.matrix_parameters == sum(w.size for w in size.weights().values() if w.ndim == 2)


def test_work_grows_as_the_formulas_say() -> None:
    size = size_named("M")
    twice = scaled(size, batch=2 * size.batch)
    assert twice.step_flops == 2 * size.step_flops
    long = [scaled(size, tokens=t, batch=1) for t in (10**6, 2 * 10**6)]  # attention's arithmetic is quadratic
    assert long[1].step_flops / long[0].step_flops == pytest.approx(4, rel=0.01)
    assert long[1].step_memory(2) / long[0].step_memory(2) == pytest.approx(2, rel=0.01)  # its memory is not


@pytest.mark.parametrize(("x", "text"), [(12345.6, "12,300"), (0.012345, "0.0123"), (99.96, "100"), (0, "0")])
def test_figures_have_three_digits(x: float, text: str) -> None:
    assert figure(x) == text
