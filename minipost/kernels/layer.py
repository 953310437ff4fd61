"""One transformer layer for training: its forward and its backward pass, each as one kernel.

    middle = x + W_o attend(W_qkv norm(x));   y = middle + W_down swiglu(W_gate_up norm(middle))

A step of small matrices spends milliseconds in Python between kernels, under its lock, where threads wait for each
other. So a layer is one call each way, like `decode.layer` for a new token, and made of the kernels of its parts. The
backward pass makes what is cheap again (both norms and the gated channels), which keeps two fifths less for it.

N = B * T tokens, C channels, H query heads, K key/value heads, D channels a head, F channels of the feed-forward layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minipost.kernels import attention, rms_norm, rope, swiglu
from minipost.kernels.jit import inlined, kernel, wide_vectors
from minipost.kernels.matmul import gemm


@kernel
def forward(
    x: Any, weights: Any, layout: Any, heads: int, kv_heads: int, eps: float, low: bool, kept: Any, y: Any
) -> None:
    """x[N, C] -> y[N, C], and what the backward pass reads in `kept`: turned[N, (H+2K)*D], mixed[N, H*D], lse[B, H, T],
    middle[N, C] and both[N, 2F].

    `weights` in the order in which they are used, matrices [out, in]; `layout`: positions[N], start[B, T], cos and sin;
    `low` as in `gemm`, for the products with weights.
    """
    wide_vectors()
    attention_norm, qkv, attention_out, mlp_norm, gate_up, mlp_down = weights
    positions, start, cos, sin = layout
    turned, mixed, lse, middle, both = kept
    h, inverse_rms = np.empty_like(x), np.empty(x.shape[0], x.dtype)
    rms_norm.forward(x, attention_norm, eps, h, inverse_rms)
    gemm(h, qkv, turned, False, True, 1.0, 0.0, low)
    rope.rotate(turned, positions, cos, sin, heads + kv_heads, 1.0, turned)
    q, k, v = by_head(turned, start, heads, kv_heads)
    attention.forward(q, k, v, start, heads, by_row(mixed, start), lse)
    gemm(mixed, attention_out, middle, False, True, 1.0, 0.0, low)
    add(x, middle)
    rms_norm.forward(middle, mlp_norm, eps, h, inverse_rms)
    gemm(h, gate_up, both, False, True, 1.0, 0.0, low)
    gated = np.empty((x.shape[0], both.shape[1] // 2), x.dtype)
    swiglu.forward(both, gated)
    gemm(gated, mlp_down, y, False, True, 1.0, 0.0, low)
    add(middle, y)


@kernel
def backward(
    g: Any,
    x: Any,
    weights: Any,
    layout: Any,
    heads: int,
    kv_heads: int,
    eps: float,
    low: bool,
    kept: Any,
    dx: Any,
    grads: Any,
) -> None:
    """g[N, C] -> dx[N, C] and `grads`, one for each weight; a matrix's may have 0 rows: it is not wanted."""
    wide_vectors()
    attention_norm, qkv, attention_out, mlp_norm, gate_up, mlp_down = weights
    positions, start, cos, sin = layout
    turned, mixed, lse, middle, both = kept
    dattention_norm, dqkv, dattention_out, dmlp_norm, dgate_up, dmlp_down = grads
    h, dh, inverse_rms = np.empty_like(x), np.empty_like(x), np.empty(x.shape[0], x.dtype)
    gated, dgated = (
        np.empty((x.shape[0], both.shape[1] // 2), x.dtype),
        np.empty((x.shape[0], both.shape[1] // 2), x.dtype),
    )
    dboth, dmiddle = np.empty_like(both), np.empty_like(x)
    swiglu.forward(both, gated)
    gemm(g, gated, dmlp_down, True, False, 1.0, 0.0, low)
    gemm(g, mlp_down, dgated, False, False, 1.0, 0.0, low)
    swiglu.backward(dgated, both, dboth)
    rms_norm.forward(middle, mlp_norm, eps, h, inverse_rms)
    gemm(dboth, h, dgate_up, True, False, 1.0, 0.0, low)
    gemm(dboth, gate_up, dh, False, False, 1.0, 0.0, low)
    rms_norm.backward(dh, middle, mlp_norm, inverse_rms, dmiddle, dmlp_norm)
    add(g, dmiddle)
    dmixed, dturned = np.empty_like(mixed), np.empty_like(turned)
    gemm(dmiddle, mixed, dattention_out, True, False, 1.0, 0.0, low)
    gemm(dmiddle, attention_out, dmixed, False, False, 1.0, 0.0, low)
    q, k, v = by_head(turned, start, heads, kv_heads)
    dq, dk, dv = by_head(dturned, start, heads, kv_heads)
    attention.backward(by_row(dmixed, start), q, k, v, by_row(mixed, start), lse, start, heads, dq, dk, dv)
    rope.rotate(dturned, positions, cos, sin, heads + kv_heads, -1.0, dturned)
    rms_norm.forward(x, attention_norm, eps, h, inverse_rms)
    gemm(dturned, h, dqkv, True, False, 1.0, 0.0, low)
    gemm(dturned, qkv, dh, False, False, 1.0, 0.0, low)
    rms_norm.backward(dh, x, attention_norm, inverse_rms, dx, dattention_norm)
    add(dmiddle, dx)


@inlined
def by_row(x: Any, start: Any) -> Any:
    """x[N, channels] as [B, T, channels]."""
    return x.reshape(start.shape[0], start.shape[1], x.shape[1])


@inlined
def by_head(turned: Any, start: Any, heads: int, kv_heads: int) -> Any:
    """[N, (H+2K)*D] -> views [B, T, H*D], [B, T, K*D], [B, T, K*D]: queries, keys and values."""
    rows, D = by_row(turned, start), turned.shape[1] // (heads + 2 * kv_heads)
    return rows[:, :, : heads * D], rows[:, :, heads * D : (heads + kv_heads) * D], rows[:, :, (heads + kv_heads) * D :]


@inlined
def add(x: Any, y: Any) -> None:
    """`y += x`, both [N, C]."""
    for i in range(x.shape[0]):
        row, out = x[i], y[i]
        for c in range(row.shape[0]):
            out[c] += row[c]
