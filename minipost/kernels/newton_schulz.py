"""Muon's update of one matrix (Jordan et al. 2024): momentum, Newton-Schulz iterations and the step, in one call.

A round maps `x` to `p(x x^T) x` with `p(s) = A + B s + C s^2`, which pushes every singular value of `x` towards 1. All
factors are polynomials of one symmetric matrix `gram = x x^T`, and so are their products: they commute, and

- the rounds are made on the small matrix: `gram` becomes `p gram p`, and `x` meets the product of all `p` at the end;
- every product is symmetric: its upper half is computed, in panels of 32 columns, and mirrored, with 62 % of the
  arithmetic of a [128, 128] matrix. 17 such products make five rounds.

A tall matrix has the same rounds on `x^T x`, from the right; nothing is transposed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minipost.kernels.jit import kernel
from minipost.kernels.matmul import address, gemm, row_bytes
from minipost.kernels.tile import lanes_of, transpose_block

A, B, C = 3.4445, -4.7750, 2.0315  # Jordan's: fast rather than exact, singular values end within about 0.7 to 1.2
PANEL = 32  # columns of a product that are computed together
TINY = 1e-7  # added to the norm, so that a gradient of zero makes a step of zero


def reference(x: Any, rounds: int = 5) -> Any:
    """About `U V^T` for `x = U S V^T`, with whole products."""
    tall = x.shape[0] > x.shape[1]
    wide = x.T if tall else x
    wide = wide / (np.linalg.norm(wide) + TINY)
    gram = wide @ wide.T
    product = np.eye(len(gram), dtype=x.dtype)
    for _ in range(rounds):
        p = A * np.eye(len(gram), dtype=x.dtype) + B * gram + C * (gram @ gram)
        product, gram = p @ product, p @ gram @ p
    y = product @ wide
    return y.T if tall else y


@kernel
def update(w: Any, g: Any, m: Any, momentum: float, rate: float, rounds: int) -> None:
    """m = momentum m + g, then w -= rate * orthogonalized(g + momentum m); all [rows, columns], `rounds` >= 1."""
    (rows, columns), keep, squares = w.shape, w.dtype.type(momentum), 0.0
    n, tall = min(rows, columns), rows > columns
    if n == 0:
        return
    x = np.empty((rows, columns), w.dtype)
    for i in range(rows):
        part = w.dtype.type(0)
        for j in range(columns):
            m[i, j] = keep * m[i, j] + g[i, j]
            x[i, j] = g[i, j] + keep * m[i, j]
            part += x[i, j] * x[i, j]
        squares += part
    scale = w.dtype.type(1 / (np.sqrt(squares) + TINY))
    for i in range(rows):
        for j in range(columns):
            x[i, j] *= scale
    gram, p = np.empty((n, n), w.dtype), np.empty((n, n), w.dtype)
    product, spare = np.empty((n, n), w.dtype), np.empty((n, n), w.dtype)
    gram_of(x, tall, gram)
    for done in range(rounds):
        symmetric(gram, gram, p)
        for i in range(n):
            for j in range(n):
                p[i, j] = w.dtype.type(B) * gram[i, j] + w.dtype.type(C) * p[i, j]
            p[i, i] += w.dtype.type(A)
        if done + 1 < rounds:
            symmetric(p, gram, spare)
            symmetric(spare, p, gram)
        if done == 0:
            product, p = p, product
        else:
            symmetric(product, p, spare)
            product, spare = spare, product
    if tall:
        gemm(x, product, w, False, False, -rate, 1.0)
    else:
        gemm(product, x, w, False, False, -rate, 1.0)


@kernel
def symmetric(a: Any, b: Any, c: Any) -> None:
    """c = a b, all [n, n], for symmetric a and b that commute."""
    n = len(a)
    for j in range(0, n, PANEL):
        end = min(j + PANEL, n)
        gemm(a[:end], b[:, j:end], c[:end, j:end], False, False, 1.0, 0.0)
    mirror(c)


@kernel
def gram_of(x: Any, tall: bool, gram: Any) -> None:
    """x[rows, columns] -> gram[n, n] = x x^T, or x^T x of a tall one."""
    n = len(gram)
    for j in range(0, n, PANEL):
        end = min(j + PANEL, n)
        if tall:
            gemm(x[:, :end], x[:, j:end], gram[:end, j:end], True, False, 1.0, 0.0)
        else:
            gemm(x[:end], x[j:end], gram[:end, j:end], False, True, 1.0, 0.0)
    mirror(gram)


@kernel
def mirror(c: Any) -> None:
    """The upper half of c[n, n] becomes the lower, too: whole blocks in registers, the rest number by number."""
    n, block, row = len(c), lanes_of(c.dtype.type(0)), row_bytes(c)
    whole = n // block * block
    for i0 in range(0, n, block):
        for j0 in range(0, i0 + 1, block):
            if j0 < i0 < whole:
                transpose_block(address(c, j0, i0), row, address(c, i0, j0), row, c.dtype.type(0))
                continue
            for i in range(i0, min(i0 + block, n)):
                for j in range(j0, min(j0 + block, i)):
                    c[i, j] = c[j, i]
