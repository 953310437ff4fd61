"""A matrix product, x[m, k] W[n, k]^T: from three loops to a tile in registers."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.ladders.rungs import Ladder, Rung
from benchmarks.package_kernels import normal
from minipost.kernels.jit import kernel
from minipost.kernels.matmul import address, matmul_into, row_bytes
from minipost.kernels.tile import ROWS, columns_of, make_tile

tile = make_tile(ROWS)


@kernel
def three_loops(x: Any, w: Any, y: Any) -> None:
    for i in range(x.shape[0]):
        for j in range(w.shape[0]):
            total = x.dtype.type(0)
            for p in range(x.shape[1]):
                total += x[i, p] * w[j, p]
            y[i, j] = total


@kernel
def rows_of_results(x: Any, w: Any, y: Any) -> None:
    """A row of results grows by one number of x times a row of W^T."""
    turned = np.ascontiguousarray(w.T)
    for i in range(x.shape[0]):
        out = y[i]
        out[:] = 0
        for p in range(x.shape[1]):
            factor, row = x[i, p], turned[p]
            for j in range(out.shape[0]):
                out[j] += factor * row[j]


@kernel
def outer_product(x: Any, w: Any, y: Any) -> None:
    """4 x 4 sums as scalars; each term adds the outer product of 4 numbers of x and 4 of W^T."""
    turned = np.ascontiguousarray(w.T)
    zero = x.dtype.type(0)
    for i in range(0, x.shape[0], 4):
        for j in range(0, w.shape[0], 4):
            a = b = c = d = e = f = g = h = k = m = n = o = q = r = s = t = zero
            for p in range(x.shape[1]):
                x0, x1, x2, x3 = x[i, p], x[i + 1, p], x[i + 2, p], x[i + 3, p]
                w0, w1, w2, w3 = turned[p, j], turned[p, j + 1], turned[p, j + 2], turned[p, j + 3]
                a, b, c, d = a + x0 * w0, b + x0 * w1, c + x0 * w2, d + x0 * w3
                e, f, g, h = e + x1 * w0, f + x1 * w1, g + x1 * w2, h + x1 * w3
                k, m, n, o = k + x2 * w0, m + x2 * w1, n + x2 * w2, o + x2 * w3
                q, r, s, t = q + x3 * w0, r + x3 * w1, s + x3 * w2, t + x3 * w3
            y[i, j], y[i, j + 1], y[i, j + 2], y[i, j + 3] = a, b, c, d
            y[i + 1, j], y[i + 1, j + 1], y[i + 1, j + 2], y[i + 1, j + 3] = e, f, g, h
            y[i + 2, j], y[i + 2, j + 1], y[i + 2, j + 2], y[i + 2, j + 3] = k, m, n, o
            y[i + 3, j], y[i + 3, j + 1], y[i + 3, j + 2], y[i + 3, j + 3] = q, r, s, t


@kernel
def sixteen_dots(x: Any, w: Any, y: Any) -> None:
    """16 dot products of 4 rows of x and 4 rows of W side by side: each vector that is loaded serves four sums."""
    zero = x.dtype.type(0)
    for i in range(0, x.shape[0], 4):
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(0, w.shape[0], 4):
            w0, w1, w2, w3 = w[j], w[j + 1], w[j + 2], w[j + 3]
            a = b = c = d = e = f = g = h = k = m = n = o = q = r = s = t = zero
            for p in range(x.shape[1]):
                a, b, c, d = a + x0[p] * w0[p], b + x0[p] * w1[p], c + x0[p] * w2[p], d + x0[p] * w3[p]
                e, f, g, h = e + x1[p] * w0[p], f + x1[p] * w1[p], g + x1[p] * w2[p], h + x1[p] * w3[p]
                k, m, n, o = k + x2[p] * w0[p], m + x2[p] * w1[p], n + x2[p] * w2[p], o + x2[p] * w3[p]
                q, r, s, t = q + x3[p] * w0[p], r + x3[p] * w1[p], s + x3[p] * w2[p], t + x3[p] * w3[p]
            y[i, j], y[i, j + 1], y[i, j + 2], y[i, j + 3] = a, b, c, d
            y[i + 1, j], y[i + 1, j + 1], y[i + 1, j + 2], y[i + 1, j + 3] = e, f, g, h
            y[i + 2, j], y[i + 2, j + 1], y[i + 2, j + 2], y[i + 2, j + 3] = k, m, n, o
            y[i + 3, j], y[i + 3, j + 1], y[i + 3, j + 2], y[i + 3, j + 3] = q, r, s, t


@kernel
def tiles_in_place(x: Any, w: Any, y: Any) -> None:
    """The package's tile over W^T as it lies; shapes of whole tiles only."""
    turned, one = np.ascontiguousarray(w.T), x.dtype.type(1)
    k, size = x.shape[1], x.itemsize
    for j in range(0, w.shape[0], columns_of(one)):
        for i in range(0, x.shape[0], ROWS):
            left, right, out = address(x, i, 0), address(turned, 0, j), address(y, i, j)
            tile(left, row_bytes(x), size, right, row_bytes(turned), out, row_bytes(y), k, one, 0.0, one)


def numpys(x: Any, w: Any, y: Any) -> None:
    np.matmul(x, w.T, out=y)


def packages(x: Any, w: Any, y: Any) -> None:
    matmul_into(x, w, y, False, True, 1.0, 0.0)


def called(function: Any) -> Any:
    """`function` with room for its result."""

    def run(x: Any, w: Any) -> Any:
        y = np.empty((len(x), len(w)), x.dtype)
        function(x, w, y)
        return y

    return run


def ladder(m: int, k: int, n: int) -> Ladder:
    m, n = m // 24 * 24, n // 96 * 96  # whole tiles of every instruction set
    rungs = [
        ("three loops", three_loops, "each term loads two numbers for one multiply-add", True),
        ("rows of results", rows_of_results, "vectors, but each multiply-add loads and stores its sum", True),
        ("4 x 4 outer products", outer_product, "scalars in registers: not made into vectors", False),
        ("4 x 4 dot products", sixteen_dots, "each loaded vector serves four sums; no intrinsic needed", True),
        ("NumPy's BLAS", numpys, "for comparison: assembly written by hand for this processor", True),
        ("tiles in place", tiles_in_place, "vectors of sums that stay in registers", True),
        ("tiles on panels", packages, "the package's: what a row of tiles reads lies side by side", True),
    ]
    return Ladder(
        f"matrix product, {m} x {k} x {n}",
        normal((m, k), (n, k)),
        tuple(Rung(name, called(function), idea, kept) for name, function, idea, kept in rungs),
    )
