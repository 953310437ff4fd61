"""Our matrix product against NumPy's: every transposition, every edge, strided rows, nothing read or written beyond."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minipost.kernels.matmul import matmul, matmul_into
from minipost.kernels.product import DEEP, FEW, HIGH
from minipost.kernels.tile import ISA

TOLERANCE = {np.float32: 2e-4, np.float64: 1e-11}
check = settings(deadline=None, max_examples=60)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def within(rows: int, columns: int, rng: np.random.Generator, dtype: type, spare: int) -> np.ndarray:
    """A matrix whose rows are `spare` numbers longer in memory; what stands there is NaN."""
    room = np.full((rows + 1, columns + spare), np.nan, dtype)
    room[:rows, :columns] = rng.normal(size=(rows, columns))
    return room[:rows, :columns]


@dtypes
@check
@given(
    m=st.integers(0, 70),
    k=st.integers(0, 70),
    n=st.integers(0, 70),
    ta=st.booleans(),
    tb=st.booleans(),
    alpha=st.sampled_from([1.0, 0.5]),
    beta=st.sampled_from([0.0, 1.0, 2.0]),
    spare=st.integers(0, 3),
)
@example(m=HIGH + 3, k=2 * DEEP + 5, n=70, ta=True, tb=False, alpha=1.0, beta=0.0, spare=0)
@example(m=HIGH + 3, k=2 * DEEP + 5, n=70, ta=False, tb=True, alpha=0.5, beta=2.0, spare=1)
@example(m=2 * HIGH, k=DEEP, n=2 * ISA.columns, ta=False, tb=False, alpha=1.0, beta=1.0, spare=0)
@example(m=FEW, k=DEEP + 1, n=ISA.columns + 1, ta=True, tb=True, alpha=1.0, beta=1.0, spare=2)
@example(m=1, k=300, n=1, ta=False, tb=False, alpha=1.0, beta=0.0, spare=0)
def test_it_is_numpys_product(
    dtype: type, m: int, k: int, n: int, ta: bool, tb: bool, alpha: float, beta: float, spare: int
) -> None:
    rng = np.random.default_rng([m, k, n])
    a = within(*((k, m) if ta else (m, k)), rng, dtype, spare)
    b = within(*((n, k) if tb else (k, n)), rng, dtype, spare)
    c = within(m, n, rng, dtype, spare)
    before = c.base.copy()
    expected = alpha * ((a.T if ta else a) @ (b.T if tb else b)) + (beta * c if beta else 0)
    if not beta:
        c[...] = np.nan  # what c held is not read
    matmul_into(a, b, c, ta, tb, alpha, beta)
    np.testing.assert_allclose(c, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    before[:m, :n] = c
    np.testing.assert_array_equal(c.base, before)  # nothing beside c is written


@dtypes
def test_every_edge_of_a_tile(dtype: type) -> None:
    rng = np.random.default_rng(0)
    for m, n, (ta, tb) in product(range(1, ISA.rows + 2), range(1, ISA.columns + 2), product((False, True), repeat=2)):
        a, b = rng.normal(size=(3, m) if ta else (m, 3)), rng.normal(size=(n, 3) if tb else (3, n))
        c = np.full((m, n), np.nan, dtype)
        matmul_into(a.astype(dtype), b.astype(dtype), c, ta, tb, 1.0, 0.0)
        np.testing.assert_allclose(c, (a.T if ta else a) @ (b.T if tb else b), rtol=1e-4, atol=1e-4)


def test_what_is_not_finite_stays_in_its_row_and_column() -> None:
    a, b = np.ones((9, 40), np.float32), np.ones((40, 50), np.float32)
    a[4, 7], b[3, 41] = np.inf, np.nan
    c = matmul(a, b)
    assert np.isinf(c[4, :41]).all() and np.isnan(c[:, 41]).all()
    assert (np.delete(np.delete(c, 4, 0), 41, 1) == 40).all()


def test_views_and_mixed_types() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 30)), rng.normal(size=(30, 10))
    for x, y in product((a, a.T.copy().T, np.repeat(a, 2, axis=1)[:, ::2]), (b, b.T.copy().T, b[::-1][::-1])):
        np.testing.assert_allclose(matmul(x, y), a @ b, rtol=1e-12)
    mixed = matmul(a.astype(np.float32), b)
    assert mixed.dtype == np.float64
    np.testing.assert_allclose(mixed, a.astype(np.float32) @ b, rtol=1e-12)
    row, column = a[:1], b[:, :1]
    np.testing.assert_allclose(matmul(column, row), column @ row, rtol=1e-12)


def test_the_order_of_a_sum_does_not_depend_on_the_other_rows() -> None:
    """A row alone gives the bits that it gives among others: what a batch holds changes nobody's results."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(FEW + 9, 200)).astype(np.float32), rng.normal(size=(200, 70)).astype(np.float32)
    c = matmul(a, b)
    for i in range(len(a)):
        np.testing.assert_array_equal(matmul(a[i : i + 1], b)[0], c[i])


@pytest.mark.parametrize("processor", ["haswell", "x86-64"])
def test_another_instruction_set_gives_the_same_within_rounding(processor: str, tmp_path: Path) -> None:
    code = """
import numpy as np
from minipost.kernels.matmul import matmul
from minipost.kernels.tile import ISA
rng = np.random.default_rng(0)
a, b = rng.normal(size=(37, 150)), rng.normal(size=(150, 45))
assert np.allclose(matmul(a, b), a @ b, rtol=1e-12)
assert np.allclose(matmul(a.astype(np.float32), b.astype(np.float32).T.copy().T), a @ b, atol=1e-4)
print(ISA.name)
"""
    if sys.platform == "darwin" or "86" not in platform.machine():
        pytest.skip("these names are of x86 processors")
    environment = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == {"haswell": "AVX2", "x86-64": "portable"}[processor]
