"""One transformer layer for one new token a sequence, over keys and values kept from earlier steps.

The cache holds, for each of S sequences, rotated keys and values: [S, K, limit, D]. B of them are still being written;
`slots[b]` says which. Finished sequences simply drop out of `slots`: nothing is moved.

A step has a dozen operations a layer and a few microseconds of work in each. Called one by one from Python, two threads
spend more time waiting for each other's turn in the interpreter than computing; so a layer is one call. Batch 16 on two
cores: 61 -> 30 ms for 64 tokens each at size S.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minipost.kernels import rms_norm, swiglu
from minipost.kernels.attention import softmax_row
from minipost.kernels.blas import gemm
from minipost.kernels.jit import kernel
from minipost.kernels.rope import rotate_row


@kernel
def layer(
    x: Any, attention_norm: Any, qkv: Any, attention_out: Any, mlp_norm: Any, gate_up: Any, mlp_down: Any,
    by_rows: bool, eps: float, slots: Any, positions: Any, keys: Any, values: Any, cos: Any, sin: Any, heads: int,
) -> None:  # fmt: skip
    """`x += W_o attend(W_qkv norm(x)); x += W_down swiglu(W_gate_up norm(x))` in place, for x[B, C]; the cache grows.

    Matrices as in `project`. slots[B], positions[B] and the cache as in `attend`.
    """
    B, C = x.shape
    width, F = (heads + 2 * keys.shape[1]) * keys.shape[3], gate_up.size // C // 2
    h, inverse_rms = np.empty((B, C), x.dtype), np.empty(B, x.dtype)
    rms_norm.forward(x, attention_norm, eps, h, inverse_rms)
    turned, mixed = np.empty((B, width), x.dtype), np.empty((B, attention_out.size // C), x.dtype)
    project(h, qkv, by_rows, 0.0, turned)
    attend(turned, slots, positions, keys, values, cos, sin, heads, mixed)
    project(mixed, attention_out, by_rows, 1.0, x)
    rms_norm.forward(x, mlp_norm, eps, h, inverse_rms)
    both, gated = np.empty((B, 2 * F), x.dtype), np.empty((B, F), x.dtype)
    project(h, gate_up, by_rows, 0.0, both)
    swiglu.forward(both, gated)
    project(gated, mlp_down, by_rows, 1.0, x)


@kernel
def project(x: Any, w: Any, by_rows: bool, beta: float, y: Any) -> None:
    """`y = x @ W.T + beta y` for x[B, I], y[B, O]. `w` is W[O, I] if `by_rows`, else its transpose [I, O].

    OpenBLAS repacks [O, I] for every product, which for a few rows takes three to five times as long as the product. A
    single row reads W once, as it lies: loops do that at the memory's speed.
    """
    if not by_rows:
        gemm(x, w, y, False, False, 1.0, beta)
        return
    for b in range(x.shape[0]):
        row, out = x[b], y[b]
        for o in range(w.shape[0]):
            total, weights = row.dtype.type(0), w[o]
            for i in range(w.shape[1]):
                total += weights[i] * row[i]
            out[o] = total if beta == 0 else total + out[o]


@kernel
def attend(
    qkv: Any, slots: Any, positions: Any, keys: Any, values: Any, cos: Any, sin: Any, heads: int, out: Any
) -> None:
    """qkv[B, (H+2K)*D] (q and k are turned in place), slots[B], positions[B] -> out[B, H*D]; the cache grows."""
    B, K, D = qkv.shape[0], keys.shape[1], keys.shape[3]
    group = heads // K
    scale = qkv.dtype.type(1.0 / np.sqrt(D))
    scores = np.empty(keys.shape[2], qkv.dtype)
    for b in range(B):
        row, slot, position = qkv[b], slots[b], positions[b]
        rotate_row(row, cos[position], sin[position], heads + K, 1.0, row)
        for kv in range(K):
            at = (heads + kv) * D
            for d in range(D):
                keys[slot, kv, position, d] = row[at + d]
                values[slot, kv, position, d] = row[at + K * D + d]
            for h in range(kv * group, (kv + 1) * group):
                attend_head(
                    row[h * D : (h + 1) * D], keys[slot, kv, : position + 1], values[slot, kv, : position + 1],
                    scale, scores[: position + 1], out[b, h * D : (h + 1) * D],
                )  # fmt: skip


@kernel
def attend_head(q: Any, k: Any, v: Any, scale: float, scores: Any, out: Any) -> None:
    """q[D], k and v[n, D] -> out[D]."""
    n, D = k.shape
    for j in range(n):
        key = k[j]
        total = q.dtype.type(0)
        for d in range(D):
            total += q[d] * key[d]
        scores[j] = total * scale
    softmax_row(scores, 0, n)
    out[:] = 0
    for j in range(n):
        p, val = scores[j], v[j]
        for d in range(D):
            out[d] += p * val[d]
