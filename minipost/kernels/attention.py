"""Causal attention with grouped key/value heads, forward and backward, without a T x T buffer.

    out_i = sum_j p_ij v_j,   p_ij = softmax_j(q_i . k_j / sqrt(D)),   start_i <= j <= i

B rows of T tokens, H query heads, K key/value heads (H / K queries share one), D channels a head. `start[b, i]` is the
first token that token i may see: the start of its document. One integer a token gives packing (several documents in a
row) and left padding alike; it never falls within a row.

How it is fast: the scores of 32 queries at a time lie transposed, s[keys, queries]. The keys are then a product's left
side, which needs no copy; a softmax runs down a column, so that 16 of them fill a vector and none is summed across;
and s is the panel that the product with the values reads. Only visible keys are multiplied, and the probabilities are
divided by their sum after that product, in `out`, which is shorter than they are. Instead of them the forward pass
keeps `lse_i = log sum_j exp(score_ij)`, and the backward pass makes them again (Dao et al. 2022, FlashAttention,
section 3.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minipost.kernels.jit import exp, inlined, largest, wide_vectors
from minipost.kernels.matmul import gemm

TILE = 32  # queries at a time: as many as a panel of `matmul` is wide with AVX-512 and float32


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
    wide_vectors()
    B, T, width = out.shape
    D = width // heads
    group = width // k.shape[2]
    scale = 1.0 / np.sqrt(D)
    scores = aligned(T, TILE, out)
    top, total = np.empty(TILE, out.dtype), np.empty(TILE, out.dtype)
    scores[...] = 0
    for b in range(B):
        for h in range(heads):
            kv = slice(h // group * D, (h // group + 1) * D)
            head = slice(h * D, (h + 1) * D)
            for i0 in range(0, T, TILE):
                i1 = min(i0 + TILE, T)
                n, j0 = i1 - i0, start[b, i0]
                s = scores[: i1 - j0]
                gemm(k[b, j0:i1, kv], q[b, i0:i1, head], s[:, :n], False, True, scale, 0.0)
                hide(s, start[b, i0:i1], i0)
                exponentials(s, top, total)
                gemm(s[:, :n], v[b, j0:i1, kv], out[b, i0:i1, head], True, False, 1.0, 0.0)
                for i in range(i0, i1):
                    lse[b, h, i] = top[i - i0] + np.log(total[i - i0])
                    scale_row(out[b, i, head], out.dtype.type(1) / total[i - i0])


@inlined
def hide(s: Any, start: Any, i0: int) -> None:
    """Scores of keys that a query may not see become -infinity: s[keys, TILE] of queries i0, i0 + 1, ...

    The keys begin with start[0]. A key's queries are a run: from its own one to the last one of its document.
    """
    n, j0 = start.shape[0], start[0]
    last, key = 1, j0
    while last < n:  # keys of documents that end among these queries
        while last < n and start[last] <= key:
            last += 1
        s[key - j0, last:n] = -np.inf
        key += 1
    for key in range(i0 + 1, i0 + n):
        s[key - j0, : key - i0] = -np.inf


@inlined
def exponentials(s: Any, top: Any, total: Any) -> None:
    """s[keys, TILE] -> exp(s - top) in place, with the maximum and the sum of each column: top[TILE], total[TILE]."""
    wide_vectors()
    top[:] = s[0]
    total[:] = 0
    last = s.shape[0] - 1
    for j in range(0, s.shape[0], 4):  # four keys at a time: LLVM would unroll a shorter loop, not vectorise it
        a, b, c, d = s[j], s[min(j + 1, last)], s[min(j + 2, last)], s[min(j + 3, last)]
        for i in range(TILE):
            top[i] = max(max(top[i], max(a[i], b[i])), max(c[i], d[i]))
    for j in range(s.shape[0]):
        row = s[j]
        for i in range(TILE):
            row[i] = exp(row[i] - top[i])
            total[i] += row[i]


@inlined
def backward(
    g: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, start: Any, heads: int, dq: Any, dk: Any, dv: Any
) -> None:
    """g[B, T, H*D] -> dq[B, T, H*D], dk and dv[B, T, K*D].

    With dp_ij = g_i . v_j and D_i = sum_j p_ij dp_ij = g_i . out_i:  ds_ij = p_ij (dp_ij - D_i) / sqrt(D), then
    dq = ds k, dk = ds^T q, dv = p^T g, each a matrix product over one tile.
    """
    wide_vectors()
    B, T, width = q.shape
    D = width // heads
    group = width // k.shape[2]
    scale = q.dtype.type(1.0 / np.sqrt(D))
    scores, slopes = aligned(T, TILE, q), aligned(T, TILE, q)
    log_sums, go = np.zeros(TILE, q.dtype), np.zeros(TILE, q.dtype)
    scores[...] = 0
    slopes[...] = 0
    dk[...] = 0
    dv[...] = 0
    for b in range(B):
        for h in range(heads):
            kv = slice(h // group * D, (h // group + 1) * D)
            head = slice(h * D, (h + 1) * D)
            for i0 in range(0, T, TILE):
                i1 = min(i0 + TILE, T)
                n, j0 = i1 - i0, start[b, i0]
                p, ds = scores[: i1 - j0], slopes[: i1 - j0]
                gemm(k[b, j0:i1, kv], q[b, i0:i1, head], p[:, :n], False, True, scale, 0.0)
                gemm(v[b, j0:i1, kv], g[b, i0:i1, head], ds[:, :n], False, True, 1.0, 0.0)
                hide(p, start[b, i0:i1], i0)
                for i in range(i0, i1):
                    log_sums[i - i0], go[i - i0] = lse[b, h, i], dot(g[b, i, head], out[b, i, head])
                softmax_backward(p, ds, log_sums, go, scale)
                gemm(ds[:, :n], k[b, j0:i1, kv], dq[b, i0:i1, head], True, False, 1.0, 0.0)
                gemm(ds[:, :n], q[b, i0:i1, head], dk[b, j0:i1, kv], False, False, 1.0, 1.0)
                gemm(p[:, :n], g[b, i0:i1, head], dv[b, j0:i1, kv], False, False, 1.0, 1.0)


@inlined
def softmax_backward(p: Any, ds: Any, lse: Any, go: Any, scale: float) -> None:
    """In place, [keys, TILE]: scores -> probabilities in `p`, their gradient -> scale times the scores' in `ds`."""
    wide_vectors()
    for j in range(p.shape[0]):
        for i in range(TILE):
            p[j, i] = exp(p[j, i] - lse[i])
            ds[j, i] = p[j, i] * (ds[j, i] - go[i]) * scale


@inlined
def dot(a: Any, b: Any) -> float:
    total = a.dtype.type(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@inlined
def scale_row(row: Any, factor: float) -> None:
    for i in range(row.shape[0]):
        row[i] *= factor


@inlined
def aligned(rows: int, columns: int, like: Any) -> Any:
    """An empty matrix of like's type that begins with a cache line: no vector of it lies across two."""
    line = 64 // like.itemsize
    room = np.empty(rows * columns + line, like.dtype)
    skip = line - np.intp(room.ctypes.data) % 64 // like.itemsize
    return room[skip : skip + rows * columns].reshape(rows, columns)


@inlined
def softmax_row(row: Any, low: int, high: int) -> float:
    """One query's scores: turn row[low:high] into probabilities in place, 0 elsewhere; return their log-sum-exp."""
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
