"""Speeds are measured of work that is really done. No test depends on how fast anything is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from minipost.machine import speed


@pytest.mark.parametrize("multiply", [speed.own_product, speed.numpy_product])
def test_both_products_multiply(multiply: speed.Multiply) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((9, 20)).astype(np.float32), rng.standard_normal((20, 13)).astype(np.float32)
    c = np.full((9, 13), np.nan, np.float32)
    multiply(a, b, c)
    assert_allclose(c, a.astype(np.float64) @ b, rtol=1e-4, atol=1e-5)


def test_every_worker_multiplies_into_its_own_result() -> None:
    results = set()

    def multiply(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
        assert (a.shape, b.shape, c.shape) == ((2, 3), (3, 4), (2, 4))
        results.add(id(c))

    assert speed.flops(multiply, (2, 3, 4), workers=3, repeats=2) > 0
    assert len(results) == 3


def test_the_triad_adds_a_multiple() -> None:
    a, b, c = np.zeros(100, np.float32), np.arange(100, dtype=np.float32), np.ones(100, np.float32)
    speed.triad_kernel(a, b, c, 2.0)
    assert_allclose(a, b + 2)
    assert speed.triad(2, megabytes=1, repeats=1) > 0


def test_a_slow_machine_stops_when_its_time_is_over() -> None:
    done: list[int] = []
    assert speed.best(2, done.append, repeats=5, seconds=60) >= 0
    assert sorted(done) == [0] * 5 + [1] * 5
    done.clear()
    speed.best(1, done.append, repeats=5, seconds=0)
    assert done == [0]
