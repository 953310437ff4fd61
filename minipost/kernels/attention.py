"""Causal attention with grouped key/value heads, forward and backward, without a T x T buffer.

    out_i = sum_j p_ij v_j,   p_ij = softmax_j(q_i . k_j / sqrt(D)),   start_i <= j <= i

B rows of T tokens, H query heads, K key/value heads (H / K queries share one), D channels a head. `start[b, i]` is the
first token that token i may see: the start of its document. One integer a token gives packing (several documents in a
row) and left padding alike; it never falls within a row.

How it is fast: 32 queries at a time, both products are matrix products over the visible keys only, and the scores of a
tile stay in the core's cache. Instead of the probabilities the forward pass keeps `lse_i = log sum_j exp(score_ij)`,
and the backward pass makes them again (Dao et al. 2022, FlashAttention, section 3.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minipost.kernels.jit import exp, inlined, largest
from minipost.kernels.matmul import gemm

TILE = 32  # queries at a time: 32 x 128 scores are 16 KB, half of a core's first cache


def reference(q: Any, k: Any, v: Any, start: Any) -> Any:
    """q[B, T, H, D], k and v[B, T, K, D], start[B, T] -> [B, T, H, D]."""
    _, T, H, D = q.shape
    k, v = (np.repeat(x, H // x.shape[2], axis=2) for x in (k, v))  # [B, T, H, D]
    scores = np.einsum("bihd,bjhd->bhij", q, k) / np.sqrt(D)
    j = np.arange(T)
    visible = (j <= j[:, None]) & (j >= start[:, :, None])  # [B, T, T]
    scores = np.where(visible[:, None], scores, -np.inf)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("bhij,bjhd->bihd", p / p.sum(-1, keepdims=True), v)


@inlined
def forward(q: Any, k: Any, v: Any, start: Any, heads: int, out: Any, lse: Any) -> None:
    """q[B, T, H*D], k and v[B, T, K*D] -> out[B, T, H*D], lse[B, H, T]. Rows may be strided."""
    B, T, width = out.shape
    D = width // heads
    group = width // k.shape[2]
    scale = 1.0 / np.sqrt(D)
    scores = np.empty((TILE, T), out.dtype)
    for b in range(B):
        for h in range(heads):
            kv = slice(h // group * D, (h // group + 1) * D)
            for i0 in range(0, T, TILE):
                i1 = min(i0 + TILE, T)
                j0 = start[b, i0]
                s = scores[: i1 - i0, : i1 - j0]
                gemm(q[b, i0:i1, h * D : (h + 1) * D], k[b, j0:i1, kv], s, False, True, scale, 0.0)
                for i in range(i0, i1):  # a row of `scores` is contiguous and vectorises, one of its view `s` is not
                    row = scores[i - i0][: i1 - j0]
                    lse[b, h, i] = softmax_row(row, start[b, i] - j0, i + 1 - j0)
                gemm(s, v[b, j0:i1, kv], out[b, i0:i1, h * D : (h + 1) * D], False, False, 1.0, 0.0)


@inlined
def softmax_row(row: Any, low: int, high: int) -> float:
    """Turn scores row[low:high] into probabilities in place, 0 elsewhere; return their log-sum-exp."""
    row[:low] = 0
    row[high:] = 0
    x = row[low:high]
    top = largest(x)
    total = row.dtype.type(0)
    for j in range(x.shape[0]):
        x[j] = exp(x[j] - top)
        total += x[j]
    inverse = row.dtype.type(1) / total
    for j in range(x.shape[0]):
        x[j] *= inverse
    return top + np.log(total)


@inlined
def backward(
    g: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, start: Any, heads: int, dq: Any, dk: Any, dv: Any
) -> None:
    """g[B, T, H*D] -> dq[B, T, H*D], dk and dv[B, T, K*D].

    With dp_ij = g_i . v_j and D_i = sum_j p_ij dp_ij = g_i . out_i:  ds_ij = p_ij (dp_ij - D_i) / sqrt(D), then
    dq = ds k, dk = ds^T q, dv = p^T g, each a matrix product over one tile.
    """
    B, T, width = q.shape
    D = width // heads
    group = width // k.shape[2]
    scale = q.dtype.type(1.0 / np.sqrt(D))
    p_tile, ds_tile = np.empty((TILE, T), q.dtype), np.empty((TILE, T), q.dtype)
    dk[...] = 0
    dv[...] = 0
    for b in range(B):
        for h in range(heads):
            kv = slice(h // group * D, (h // group + 1) * D)
            head = slice(h * D, (h + 1) * D)
            for i0 in range(0, T, TILE):
                i1 = min(i0 + TILE, T)
                j0 = start[b, i0]
                p, ds = p_tile[: i1 - i0, : i1 - j0], ds_tile[: i1 - i0, : i1 - j0]
                gemm(q[b, i0:i1, head], k[b, j0:i1, kv], p, False, True, scale, 0.0)
                gemm(g[b, i0:i1, head], v[b, j0:i1, kv], ds, False, True, 1.0, 0.0)
                for i in range(i0, i1):
                    go = dot(g[b, i, head], out[b, i, head])
                    low, high = start[b, i] - j0, i + 1 - j0
                    p_row, ds_row = p_tile[i - i0][: i1 - j0], ds_tile[i - i0][: i1 - j0]
                    softmax_row_backward(p_row, ds_row, low, high, lse[b, h, i], go, scale)
                gemm(ds, k[b, j0:i1, kv], dq[b, i0:i1, head], False, False, 1.0, 0.0)
                gemm(ds, q[b, i0:i1, head], dk[b, j0:i1, kv], True, False, 1.0, 1.0)
                gemm(p, g[b, i0:i1, head], dv[b, j0:i1, kv], True, False, 1.0, 1.0)


@inlined
def softmax_row_backward(p: Any, ds: Any, low: int, high: int, lse: float, go: float, scale: float) -> None:
    """In place: scores -> probabilities in `p`, their gradient -> the scores' gradient (times scale) in `ds`."""
    for row in (p, ds):
        row[:low] = 0
        row[high:] = 0
    x, y = p[low:high], ds[low:high]
    for j in range(x.shape[0]):
        x[j] = exp(x[j] - lse)
        y[j] = x[j] * (y[j] - go) * scale


@inlined
def dot(a: Any, b: Any) -> float:
    total = a.dtype.type(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total
