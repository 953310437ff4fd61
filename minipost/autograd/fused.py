"""The fused operations: one node on the tape for each compiled kernel pair.

Each could be composed of primitives, and the tests hold it equal to that composition. A transformer layer makes sixty
nodes of primitives, ten of the operations on its parts, and one of `layer`. As with the primitives, without a Tensor
among the inputs nothing is recorded and a plain array comes back.

Letters: N tokens (all rows of a batch, flat), B rows of T tokens, C channels, V vocabulary, H query heads, K key/value
heads, D channels a head, F channels of the feed-forward layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minipost.autograd.tensor import Array, AutogradError, Tensor, record, value
from minipost.kernels import attention as attention_kernel
from minipost.kernels import cross_entropy as cross_entropy_kernel
from minipost.kernels import embedding as embedding_kernel
from minipost.kernels import layer as layer_kernel
from minipost.kernels import rms_norm as rms_norm_kernel
from minipost.kernels import rope as rope_kernel
from minipost.kernels import swiglu as swiglu_kernel
from minipost.kernels.matmul import matmul_into

Precision = Literal["float32", "bfloat16"]
_bfloat16 = False


@contextmanager
def precision(name: Precision) -> Iterator[None]:
    """Inside this block, in all threads, float32 products with weight matrices round their operands to `name`.

    What is added up, kept and updated stays float32: weights, sums, losses, norms, softmax, attention, the optimiser.
    A block that asks for float32 leaves nothing rounded. See `minipost.kernels.bfloat16`.
    """
    global _bfloat16
    before, _bfloat16 = _bfloat16, name == "bfloat16"
    try:
        yield
    finally:
        _bfloat16 = before


def in_bfloat16() -> bool:
    """Whether such a block is open."""
    return _bfloat16


def linear(x: Any, weight: Any) -> Any:
    """`x @ weight.T`: x[N, I], weight[O, I] -> [N, O]."""
    xv, wv = _matrix("linear", x), _matrix("linear", weight)
    if xv.shape[1] != wv.shape[1]:
        raise AutogradError(f"linear of x {xv.shape} with weight {wv.shape}: x needs {wv.shape[1]} channels.")
    dtype = np.result_type(xv, wv)  # a product has one type throughout
    xv, wv = xv.astype(dtype, copy=False), wv.astype(dtype, copy=False)
    y = np.empty((len(xv), len(wv)), dtype)
    low = _bfloat16
    matmul_into(xv, wv, y, False, True, 1.0, 0.0, low)

    def vjp(g: Array) -> tuple[Array | None, Array | None]:
        """A constant costs no product: a frozen weight (LoRA), or the first layer's input."""
        g, dx, dw = np.ascontiguousarray(g, dtype), None, None
        if isinstance(x, Tensor):
            dx = np.empty_like(xv)
            matmul_into(g, wv, dx, False, False, 1.0, 0.0, low)
        if isinstance(weight, Tensor):
            dw = np.empty_like(wv)
            matmul_into(g, xv, dw, True, False, 1.0, 0.0, low)
        return dx, dw

    return record(y, (x, weight), vjp, fresh=True)


def embedding(weight: Any, tokens: Array) -> Any:
    """weight[V, C], integer tokens[N] -> [N, C]. Refuses token ids outside the vocabulary."""
    wv = _matrix("embedding", weight)
    if tokens.size and not (tokens.min() >= 0 and tokens.max() < len(wv)):
        raise AutogradError(f"token ids {tokens.min()}..{tokens.max()} do not fit a vocabulary of {len(wv)}.")

    flat = tokens.astype(np.int64, copy=False)

    def vjp(g: Array) -> tuple[Array, None]:
        dweight = np.empty_like(wv)
        embedding_kernel.backward(np.ascontiguousarray(g), flat, dweight)
        return dweight, None

    return record(wv[tokens], (weight, tokens), vjp, fresh=True)


def gather_rows(x: Any, index: Array) -> Any:
    """x[N, C], *distinct* integer index[n] -> x[index], [n, C]: the positions that a loss looks at."""
    xv = _matrix("gather_rows", x)

    def vjp(g: Array) -> tuple[Array]:
        dx = np.zeros_like(xv)
        dx[index] = g
        return (dx,)

    return record(xv[index], (x,), vjp)


def rms_norm(x: Any, gain: Any, eps: float = 1e-5) -> Any:
    """x[N, C], gain[C] -> [N, C]."""
    xv, gv = _matrix("rms_norm", x), np.ascontiguousarray(value(gain))
    if gv.shape != xv.shape[1:]:
        raise AutogradError(f"rms_norm of x {xv.shape} with gain {gv.shape}: one gain for each channel.")
    y, inverse_rms = np.empty_like(xv), np.empty(len(xv), xv.dtype)
    rms_norm_kernel.forward(xv, gv, eps, y, inverse_rms)

    def vjp(g: Array) -> tuple[Array, Array]:
        dx, dgain = np.empty_like(xv), np.empty_like(gv)
        rms_norm_kernel.backward(np.ascontiguousarray(g), xv, gv, inverse_rms, dx, dgain)
        return dx, dgain

    return record(y, (x, gain), vjp, fresh=True)


def swiglu(gate_up: Any) -> Any:
    """gate_up[N, 2F] -> silu(gate) * up, [N, F]."""
    xv = _matrix("swiglu", gate_up)
    y = np.empty((len(xv), xv.shape[1] // 2), xv.dtype)
    swiglu_kernel.forward(xv, y)

    def vjp(g: Array) -> tuple[Array]:
        dx = np.empty_like(xv)
        swiglu_kernel.backward(np.ascontiguousarray(g), xv, dx)
        return (dx,)

    return record(y, (gate_up,), vjp)


@dataclass(frozen=True)
class Layout:
    """Where the N = B * T tokens of a batch stand: what attention needs to know beside its numbers.

    `positions[B, T]` count from 0 within each document; `start[B, T]` is the index in the row of the first token that a
    token may see; `cos` and `sin` [positions, D/2] are the rotary table.
    """

    positions: Array
    start: Array
    cos: Array
    sin: Array


def attention(qkv: Any, layout: Layout, heads: int, kv_heads: int) -> Any:
    """Rotary, causal, grouped-query attention: qkv[N, (H + 2K) * D] -> [N, H * D].

    A row of `qkv` holds H queries, K keys and K values. Queries and keys are turned by their positions first.
    """
    xv = _matrix("attention", qkv)
    B, T = layout.positions.shape
    N, width = xv.shape
    if N != B * T or width % (heads + 2 * kv_heads):
        raise AutogradError(f"attention of {xv.shape} does not fit {B} x {T} tokens, {heads} + 2 x {kv_heads} heads.")
    D = width // (heads + 2 * kv_heads)
    turned, positions = xv.copy(), layout.positions.reshape(-1)
    rope_kernel.rotate(xv, positions, layout.cos, layout.sin, heads + kv_heads, 1.0, turned)
    q, k, v = split_heads(turned.reshape(B, T, width), heads, kv_heads)
    out, lse = np.empty((B, T, heads * D), xv.dtype), np.empty((B, heads, T), xv.dtype)
    attention_kernel.forward(q, k, v, layout.start, heads, out, lse)

    def vjp(g: Array) -> tuple[Array]:
        dx = np.empty_like(xv)
        dq, dk, dv = split_heads(dx.reshape(B, T, width), heads, kv_heads)
        g = np.ascontiguousarray(g).reshape(B, T, heads * D)
        attention_kernel.backward(g, q, k, v, out, lse, layout.start, heads, dq, dk, dv)
        rope_kernel.rotate(dx, positions, layout.cos, layout.sin, heads + kv_heads, -1.0, dx)
        return (dx,)

    return record(out.reshape(N, heads * D), (qkv,), vjp)


def split_heads(qkv: Array, heads: int, kv_heads: int) -> tuple[Array, Array, Array]:
    """[..., (H + 2K) * D] -> views [..., H * D], [..., K * D], [..., K * D]."""
    D = qkv.shape[-1] // (heads + 2 * kv_heads)
    return qkv[..., : heads * D], qkv[..., heads * D : (heads + kv_heads) * D], qkv[..., (heads + kv_heads) * D :]


def layer(x: Any, weights: Sequence[Any], layout: Layout, heads: int, kv_heads: int, eps: float = 1e-5) -> Any:
    """A whole transformer layer as one node: x[N, C] -> [N, C].

        x += W_o attend(W_qkv norm(x));   x += W_down swiglu(W_gate_up norm(x))

    `weights`: attention_norm[C], qkv[(H + 2K) * D, C], attention_out[C, H * D], mlp_norm[C], gate_up[2F, C] and
    mlp_down[C, F]. No product is made for the gradient of a constant matrix.
    """
    xv, wv = _matrix("layer", x), tuple(np.ascontiguousarray(value(w)) for w in weights)
    (B, T), (N, C), width, F = layout.start.shape, xv.shape, len(wv[1]), len(wv[4]) // 2
    D = width // (heads + 2 * kv_heads)
    shapes = [(C,), ((heads + 2 * kv_heads) * D, C), (C, heads * D), (C,), (2 * F, C), (C, F)]
    if N != B * T or [w.shape for w in wv] != shapes or any(w.dtype != xv.dtype for w in wv):
        found = ", ".join(f"{w.dtype} {w.shape}" for w in wv)
        raise AutogradError(f"layer of x {xv.dtype} {xv.shape} does not fit {B} x {T} tokens or its weights {found}.")
    where = (layout.positions.reshape(-1), layout.start, layout.cos, layout.sin)
    rooms = ((N, width), (N, heads * D), (B, heads, T), (N, C), (N, 2 * F))
    kept, y = tuple(np.empty(room, xv.dtype) for room in rooms), np.empty_like(xv)
    low = _bfloat16
    layer_kernel.forward(xv, wv, where, heads, kv_heads, eps, low, kept, y)

    def vjp(g: Array) -> tuple[Array, ...]:
        dx = np.empty_like(xv)
        grads = tuple(np.empty_like(v) if v.ndim == 1 else _gradient_of(w, v) for w, v in zip(weights, wv, strict=True))
        g = np.ascontiguousarray(g)
        layer_kernel.backward(g, xv, wv, where, heads, kv_heads, eps, low, kept, dx, grads)
        return dx, *grads

    return record(y, (x, *weights), vjp, fresh=True)


def token_logps(hidden: Any, weight: Any, targets: Array, temperature: float = 1.0) -> Any:
    """Log-probability of each target and entropy of each distribution: hidden[N, C], weight[V, C] -> [2, N].

    Row 0 holds `log softmax(hidden @ weight.T / temperature)[targets]`, row 1 the entropies in nats.
    """
    hv, wv, targets = _matrix("token_logps", hidden), _matrix("token_logps", weight), _targets(targets, weight)
    out = np.empty((2, len(hv)), hv.dtype)
    low = _bfloat16
    cross_entropy_kernel.logps_forward(hv, wv, targets, temperature, out[0], out[1], low)

    def vjp(g: Array) -> tuple[Array, Array]:
        dh, dw = np.empty_like(hv), _gradient_of(weight, wv)
        g = np.ascontiguousarray(g)
        cross_entropy_kernel.logps_backward(g[0], g[1], hv, wv, targets, temperature, dh, dw, low)
        return dh, dw

    return record(out, (hidden, weight), vjp, fresh=True)


def weighted_nll(hidden: Any, weight: Any, targets: Array, weights: Array) -> Any:
    """`-sum_i weights_i log p(targets_i)` as a scalar: hidden[N, C], weight[V, C], targets[N], weights[N].

    Cross-entropy with a token mean has weights `mask / sum(mask)`. The gradient is made in the forward pass.
    """
    hv, wv, targets = _matrix("weighted_nll", hidden), _matrix("weighted_nll", weight), _targets(targets, weight)
    dh, dw = np.empty_like(hv), _gradient_of(weight, wv)
    loss = cross_entropy_kernel.weighted_nll(hv, wv, targets, weights.astype(hv.dtype), dh, dw, _bfloat16)
    return record(np.asarray(loss, hv.dtype), (hidden, weight), lambda g: (g * dh, g * dw), fresh=True)


def _matrix(name: str, x: Any) -> Array:
    """The value of `x` as a C-contiguous matrix, which is what kernels take."""
    array = np.asarray(value(x))
    if array.ndim != 2 or array.dtype not in (np.float32, np.float64):
        raise AutogradError(f"{name} needs a float matrix, got {array.dtype} of shape {array.shape}.")
    return np.ascontiguousarray(array)


def _gradient_of(weight: Any, values: Array) -> Array:
    """Room for the gradient of `weight`; none (and the kernels then make none) where it is a constant."""
    return np.empty_like(values if isinstance(weight, Tensor) else values[:0])


def _targets(targets: Array, weight: Any) -> Array:
    if targets.size and not (targets.min() >= 0 and targets.max() < len(value(weight))):
        raise AutogradError(f"target ids {targets.min()}..{targets.max()} do not fit {len(value(weight))} tokens.")
    return targets.astype(np.int64, copy=False)
