"""The product in bfloat16: float32's product of rounded operands, on every rung."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minipost.kernels import bfloat16
from minipost.kernels.matmul import matmul_into

check = settings(deadline=None, max_examples=80)


def rounded(x: np.ndarray) -> np.ndarray:
    """The nearest bfloat16 to each finite float32, ties to even, as float64."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)


def times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    c = np.full((len(a), b.shape[1]), np.nan, np.float32)
    matmul_into(
        np.ascontiguousarray(a, np.float32), np.ascontiguousarray(b, np.float32), c, False, False, 1.0, 0.0, True
    )
    return c


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
@example(m=bfloat16.HIGH + 3, k=2 * bfloat16.DEEP + 5, n=70, ta=True, tb=False, alpha=1.0, beta=0.0, spare=0)
@example(m=bfloat16.HIGH + 3, k=2 * bfloat16.DEEP + 5, n=70, ta=False, tb=True, alpha=0.5, beta=2.0, spare=1)
@example(m=64, k=64, n=64, ta=False, tb=False, alpha=1.0, beta=1.0, spare=0)
def test_it_is_the_product_of_rounded_operands(
    m: int, k: int, n: int, ta: bool, tb: bool, alpha: float, beta: float, spare: int
) -> None:
    rng = np.random.default_rng([m, k, n])

    def within(rows: int, columns: int) -> np.ndarray:
        """Beside the matrix stands NaN."""
        room = np.full((rows + 1, columns + spare), np.nan, np.float32)
        room[:rows, :columns] = rng.normal(size=(rows, columns))
        return room[:rows, :columns]

    a, b, c = within(*((k, m) if ta else (m, k))), within(*((n, k) if tb else (k, n))), within(m, n)
    before = c.base.copy()
    left, right = rounded(a), rounded(b)
    expected = alpha * ((left.T if ta else left) @ (right.T if tb else right)) + (beta * c if beta else 0)
    if not beta:
        c[...] = np.nan
    matmul_into(a, b, c, ta, tb, alpha, beta, True)
    np.testing.assert_allclose(c, expected, rtol=2e-4, atol=2e-4)
    before[:m, :n] = c
    np.testing.assert_array_equal(c.base, before)


@check
@given(x=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=40))
@example(x=[1 + 2.0**-8, 1 + 3 * 2.0**-8, -1 - 2.0**-8, 0.0, 3.0e38])
def test_a_number_is_rounded_to_the_nearest_ties_to_even(x: list[float]) -> None:
    column = np.array(x, np.float32)[:, None]
    normal = np.where(np.abs(column) < 2.0**-120, np.float32(0), column)  # instructions take subnormal numbers for 0
    np.testing.assert_array_equal(times(normal, np.ones((1, 1)))[:, 0], rounded(normal)[:, 0].astype(np.float32))


def test_what_is_not_finite_stays_in_its_row_and_column() -> None:
    a, b = np.ones((9, 40)), np.ones((40, 50))
    a[4, 7], b[3, 41] = np.inf, np.nan
    c = times(a, b)
    assert np.isinf(c[4, :41]).all() and np.isnan(c[:, 41]).all()
    assert (np.delete(np.delete(c, 4, 0), 41, 1) == 40).all()


def test_float64_is_never_rounded() -> None:
    a, c = np.array([[1 + 2.0**-40]]), np.zeros((1, 1))
    matmul_into(a, np.ones((1, 1)), c, False, False, 1.0, 0.0, True)
    assert c[0, 0] == a[0, 0]


CODE = """
import numpy as np
from minipost.kernels import bfloat16
from minipost.kernels.matmul import matmul_into
rng = np.random.default_rng(0)
for m, k, n, ta, tb in [(70, 130, 50, False, True), (33, 40, 64, True, False), (5, 3, 2, False, False)]:
    a = rng.normal(size=(k, m) if ta else (m, k)).astype(np.float32)
    b = rng.normal(size=(n, k) if tb else (k, n)).astype(np.float32)
    c = np.zeros((m, n), np.float32)
    matmul_into(a, b, c, ta, tb, 1.0, 0.0, True)
    print(bfloat16.RUNG, c.astype(np.float64).sum(), np.abs(c).astype(np.float64).sum())
"""
WIDE = "+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512bf16"


def ask(tmp_path: Path, **environment: str) -> tuple[str, np.ndarray]:
    """(the rung, sums over a few products) in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return lines[0][0], np.array([[float(x) for x in line[1:]] for line in lines])


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the processors asked for are x86's")
def test_every_rung_that_this_processor_has_gives_the_same_but_for_the_order_of_sums(tmp_path: Path) -> None:
    rungs = {"float32": ask(tmp_path, NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES="")}
    if "+avx512bf16" in bfloat16.features():
        rungs["AVX512-BF16"] = ask(tmp_path, NUMBA_CPU_NAME="cooperlake", NUMBA_CPU_FEATURES=WIDE)
    if bfloat16.RUNG == "AMX":
        rungs["AMX"] = ask(tmp_path)
    for rung, (name, sums) in rungs.items():
        assert name == rung
        np.testing.assert_allclose(sums, rungs["float32"][1], rtol=1e-5, atol=1e-3)
