"""Muon's kernel: its products by halves, its singular values, and the same step as whole products in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minipost.kernels import newton_schulz

check = settings(deadline=None, max_examples=25)
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 80)  # up to three panels, the last of any width


def orthogonalized(x: np.ndarray, rounds: int = 5) -> np.ndarray:
    y = np.zeros_like(x)
    newton_schulz.update(y, x, np.zeros_like(x), 0.0, -1.0, rounds)
    return y


@check
@given(rows=sizes, columns=sizes, rounds=st.integers(1, 6), seed=seeds)
def test_the_kernel_equals_its_reference(rows: int, columns: int, rounds: int, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((rows, columns))
    np.testing.assert_allclose(orthogonalized(x, rounds), newton_schulz.reference(x, rounds), rtol=0, atol=1e-10)
    single = orthogonalized(x.astype(np.float32), rounds)
    np.testing.assert_allclose(single, newton_schulz.reference(x, rounds), rtol=0, atol=1e-3)


@check
@given(rows=sizes, columns=sizes, momentum=st.floats(0, 1), rate=st.floats(-1, 1), seed=seeds)
def test_an_update_is_momentum_then_a_step(rows: int, columns: int, momentum: float, rate: float, seed: int) -> None:
    w, g, m = np.random.default_rng(seed).standard_normal((3, rows, columns))
    moved = momentum * m + g
    expected = w - rate * newton_schulz.reference(g + momentum * moved)
    newton_schulz.update(w, g, m, momentum, rate, 5)
    np.testing.assert_allclose(m, moved, rtol=0, atol=1e-12)
    np.testing.assert_allclose(w, expected, rtol=0, atol=1e-10)


@check
@given(n=sizes, seed=seeds)
def test_half_a_product_of_commuting_matrices_is_the_whole(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    a, b = (q * rng.uniform(0, 1, n) @ q.T for _ in range(2))
    c = np.full((n, n), np.nan)
    newton_schulz.symmetric(a, b, c)
    np.testing.assert_allclose(c, a @ b, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(c, c.T)


@check
@given(rows=sizes, columns=sizes, seed=seeds)
def test_singular_values_end_near_one_and_vectors_stay(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    u, _, vt = np.linalg.svd(rng.standard_normal((rows, columns)), full_matrices=False)
    levelled = u.T @ orthogonalized(u * rng.uniform(0.3, 1.0, min(rows, columns)) @ vt) @ vt.T
    np.testing.assert_allclose(levelled, np.diag(np.diag(levelled)), rtol=0, atol=1e-10)
    assert np.diag(levelled).min() > 0.65 and np.diag(levelled).max() < 1.22


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (1, 7), (7, 1), (40, 3)])
def test_nothing_moves_without_a_gradient(dtype: type, shape: tuple[int, int]) -> None:
    w = np.ones(shape, dtype)
    newton_schulz.update(w, np.zeros_like(w), np.zeros_like(w), 0.95, 0.1, 5)
    np.testing.assert_array_equal(w, np.ones(shape, dtype))
