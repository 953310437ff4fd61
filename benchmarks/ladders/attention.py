"""Causal attention forward: from a T x T table for each head to tiles of matrix products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.ladders.rungs import Ladder, Rung
from benchmarks.package_kernels import attention_forward
from minipost.kernels import attention
from minipost.kernels.jit import kernel
from minipost.kernels.matmul import gemm


def batched_products(q: Any, k: Any, v: Any) -> Any:
    T, D = q.shape[1], q.shape[3]
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (q, k, v))  # [B, H, T, D]
    scores = q @ k.swapaxes(2, 3) / np.float32(np.sqrt(D))
    scores[:, :, ~np.tri(T, dtype=bool)] = -np.inf
    p = np.exp(scores - scores.max(-1, keepdims=True))
    return (p / p.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3)


@kernel
def scalar_loops(q: Any, k: Any, v: Any, out: Any) -> None:
    """q, k, v and out[B, T, H, D]: query by query, dot product by dot product."""
    B, T, H, D = q.shape
    scores = np.empty(T, q.dtype)
    scale = q.dtype.type(1.0 / np.sqrt(D))
    for b in range(B):
        for h in range(H):
            for i in range(T):
                for j in range(i + 1):
                    scores[j] = scale * attention.dot(q[b, i, h], k[b, j, h])
                attention.softmax_row(scores, 0, i + 1)
                row = out[b, i, h]
                row[:] = 0
                for j in range(i + 1):
                    p, value = scores[j], v[b, j, h]
                    for d in range(D):
                        row[d] += p * value[d]


@kernel
def library_softmax(row: Any, high: int) -> None:
    """softmax of row[:high] in place with the C library's exp, 0 beyond."""
    row[high:] = 0
    x = row[:high]
    top, total = x[0], row.dtype.type(0)
    for j in range(high):
        top = max(top, x[j])
    for j in range(high):
        x[j] = math.exp(x[j] - top)
        total += x[j]
    for j in range(high):
        x[j] /= total


@kernel
def tiled(q: Any, k: Any, v: Any, heads: int, tile: int, skip: bool, fast: bool, out: Any) -> None:
    """q, k, v and out[B, T, H*D]: `tile` queries at a time; `skip` leaves out the keys that none of them sees."""
    B, T, width = out.shape
    D = width // heads
    scores = np.empty((tile, T), out.dtype)
    for b in range(B):
        for h in range(heads):
            head = slice(h * D, (h + 1) * D)
            for i0 in range(0, T, tile):
                i1 = min(i0 + tile, T)
                seen = i1 if skip else T
                s = scores[: i1 - i0, :seen]
                gemm(q[b, i0:i1, head], k[b, :seen, head], s, False, True, 1.0 / np.sqrt(D), 0.0)
                for i in range(i0, i1):
                    if fast:
                        attention.softmax_row(s[i - i0], 0, i + 1)
                    else:
                        library_softmax(s[i - i0], i + 1)
                gemm(s, v[b, :seen, head], out[b, i0:i1, head], False, False, 1.0, 0.0)


def loops(q: Any, k: Any, v: Any) -> Any:
    out = np.empty_like(q)
    scalar_loops(q, k, v, out)
    return out


def tiles(tile: int, skip: bool = True, fast: bool = True) -> Any:
    def run(q: Any, k: Any, v: Any) -> Any:
        B, T, H, D = q.shape
        out = np.empty((B, T, H * D), q.dtype)
        tiled(*(x.reshape(B, T, H * D) for x in (q, k, v)), H, tile, skip, fast, out)
        return out.reshape(q.shape)

    return run


def ladder(B: int, T: int, H: int, C: int) -> Ladder:
    shape, start = (B, T, H, C // H), np.zeros((B, T), np.int64)

    def inputs(rng: np.random.Generator) -> tuple[Any, ...]:
        return tuple(rng.standard_normal(shape, np.float32) for _ in range(3))

    return Ladder(
        f"causal attention forward, {B} x {T} tokens, {H} heads of {C // H}",
        inputs,
        (
            Rung("NumPy, einsum", lambda q, k, v: attention.reference(q, k, v, start), "the formula: T x T tables"),
            Rung("NumPy, batched products", batched_products, "products at BLAS's speed; softmax walks the tables"),
            Rung(
                "loops, query by query",
                loops,
                "no table and no masked work, but no reuse of keys in registers either",
                kept=False,
            ),
            Rung("whole rows of keys, tiles of 32", tiles(32, skip=False), "twice the products that are needed"),
            Rung("library's exp", tiles(32, fast=False), "no gain from the polynomial: rows are short", kept=False),
            Rung("tiles of 8", tiles(8), "less masked work pays for flatter products: no difference", kept=False),
            Rung("tiles of 128", tiles(128), "more masked work: half of the last tile", kept=False),
            Rung(
                "tiles of 32",
                lambda q, k, v: attention_forward(q, k, v, start)[0].reshape(shape),
                "the package's: skips what no query of the tile sees; keeps lse for the backward pass",
            ),
        ),
    )
