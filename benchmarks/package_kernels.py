"""The package's own kernels, registered at the shapes of a model size.

Each is called as the package calls it, with room for its results made anew. References are NumPy in as few lines as the
formula has, peers what a PyTorch user would write. Operations are counted for the formula, not for the code: an
exponential is one, and what a backward pass makes again is not counted. Bytes are each input and output once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.torch_autograd import functional, gradients, torch_module
from benchmarks.registry import MakeInputs, register
from benchmarks.sizes import Size
from minipost.autograd.fused import split_heads
from minipost.kernels import adamw, attention, cross_entropy, decode, rms_norm, rope, sample, swiglu

EPS = 1e-5
ADAM = (3, 1e-3, 0.9, 0.95, 1e-8, 0.05)  # step, rate, betas, eps, decay
Array = Any


def normal(*shapes: tuple[int, ...]) -> MakeInputs:
    """Inputs of these shapes, standard normal."""
    return lambda rng: tuple(rng.standard_normal(shape, np.float32) for shape in shapes)


def register_all(size: Size) -> None:
    """At the shapes of a training step of `size`."""
    norms(size.batch * size.tokens, size.dim)
    gates(size.batch * size.tokens, size.hidden)
    attentions(size.batch, size.tokens, size.heads, size.dim)
    output_layer(size.batch * size.tokens, size.dim, size.vocab_size)
    updates(size.matrix_parameters)
    decoding(64, size.tokens, size.heads, size.dim, size.vocab_size)


# ---------------------------------------------------------------------------------------------------- RMSNorm
def norm_forward(x: Array, gain: Array) -> Array:
    y, inverse = np.empty_like(x), np.empty(len(x), x.dtype)
    rms_norm.forward(x, gain, EPS, y, inverse)
    return y


def norm_both(x: Array, gain: Array, g: Array) -> tuple[Array, Array]:
    y, inverse = np.empty_like(x), np.empty(len(x), x.dtype)
    rms_norm.forward(x, gain, EPS, y, inverse)
    dx, dgain = np.empty_like(x), np.empty_like(gain)
    rms_norm.backward(g, x, gain, inverse, dx, dgain)
    return dx, dgain


def norm_both_reference(x: Array, gain: Array, g: Array) -> tuple[Array, Array]:
    rms = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + EPS)
    n = x / rms
    return (g * gain - n * np.mean(g * gain * n, axis=-1, keepdims=True)) / rms, (g * n).sum(axis=0)


def norms(N: int, C: int) -> None:
    def torch_forward(x: Array, gain: Array) -> Array:
        return functional().rms_norm(x, gain.shape, gain, EPS)

    register(
        "RMSNorm forward",
        normal((N, C), (C,)),
        norm_forward,
        lambda x, gain: rms_norm.reference(x, gain, EPS),
        torch_forward,
        flops=4 * N * C,
        bytes=8 * N * C,
    )
    register(
        "RMSNorm forward + backward",
        normal((N, C), (C,), (N, C)),
        norm_both,
        norm_both_reference,
        lambda x, gain, g: gradients(torch_forward, (x, gain), g),
        flops=13 * N * C,
        bytes=20 * N * C,
    )


# ----------------------------------------------------------------------------------------------------- SwiGLU
def gate_forward(x: Array) -> Array:
    y = np.empty((len(x), x.shape[1] // 2), x.dtype)
    swiglu.forward(x, y)
    return y


def gate_both(x: Array, g: Array) -> Array:
    gate_forward(x)
    dx = np.empty_like(x)
    swiglu.backward(g, x, dx)
    return dx


def gate_both_reference(x: Array, g: Array) -> Array:
    gate, up = np.split(x, 2, axis=-1)
    s = 1 / (1 + np.exp(-gate))
    return np.concatenate([g * up * s * (1 + gate * (1 - s)), g * gate * s], axis=-1)


def gates(N: int, F: int) -> None:
    def torch_forward(x: Array) -> Array:
        gate, up = x.chunk(2, dim=-1)
        return functional().silu(gate) * up

    register(
        "SwiGLU forward",
        normal((N, 2 * F)),
        gate_forward,
        swiglu.reference,
        torch_forward,
        flops=5 * N * F,
        bytes=12 * N * F,
    )
    register(
        "SwiGLU forward + backward",
        normal((N, 2 * F), (N, F)),
        gate_both,
        gate_both_reference,
        lambda x, g: gradients(torch_forward, (x,), g)[0],
        flops=14 * N * F,
        bytes=32 * N * F,
    )


# --------------------------------------------------------------------------------------------------- attention
def attention_forward(q: Array, k: Array, v: Array, start: Array) -> tuple[Array, Array]:
    B, T, H, D = q.shape
    out, lse = np.empty((B, T, H * D), q.dtype), np.empty((B, H, T), q.dtype)
    attention.forward(*(x.reshape(B, T, H * D) for x in (q, k, v)), start, H, out, lse)
    return out, lse


def attention_both(q: Array, k: Array, v: Array, start: Array, g: Array) -> tuple[Array, Array, Array]:
    B, T, H, D = q.shape
    out, lse = attention_forward(q, k, v, start)
    flat = [x.reshape(B, T, H * D) for x in (q, k, v)]
    dq, dk, dv = (np.empty_like(x) for x in flat)
    attention.backward(g.reshape(B, T, H * D), *flat, out, lse, start, H, dq, dk, dv)
    return dq.reshape(q.shape), dk.reshape(q.shape), dv.reshape(q.shape)


def attention_both_reference(q: Array, k: Array, v: Array, start: Array, g: Array) -> tuple[Array, Array, Array]:
    T, D = q.shape[1], q.shape[3]
    scores = np.einsum("bihd,bjhd->bhij", q, k) / np.float32(np.sqrt(D))
    scores = np.where(np.tri(T, dtype=bool), scores, -np.inf)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    dp = np.einsum("bihd,bjhd->bhij", g, v)
    ds = p * (dp - (p * dp).sum(-1, keepdims=True)) / np.float32(np.sqrt(D))
    return (
        np.einsum("bhij,bjhd->bihd", ds, k),
        np.einsum("bhij,bihd->bjhd", ds, q),
        np.einsum("bhij,bihd->bjhd", p, g),
    )


def attentions(B: int, T: int, H: int, C: int) -> None:
    shape = (B, T, H, C // H)

    def inputs(count: int) -> MakeInputs:
        def make(rng: np.random.Generator) -> tuple[Array, ...]:
            q, k, v, *rest = (rng.standard_normal(shape, np.float32) for _ in range(count))
            return (q, k, v, np.zeros((B, T), np.int64), *rest)

        return make

    def torch_forward(q: Array, k: Array, v: Array) -> Array:
        heads_first = (x.transpose(1, 2) for x in (q, k, v))
        return functional().scaled_dot_product_attention(*heads_first, is_causal=True).transpose(1, 2)

    pairs, C4 = B * T * T / 2, 4 * B * T * C
    register(
        "attention forward",
        inputs(3),
        lambda *x: attention_forward(*x)[0].reshape(shape),
        attention.reference,
        lambda q, k, v, start: torch_forward(q, k, v),
        flops=4 * pairs * C,
        bytes=4 * C4,
    )
    register(
        "attention forward + backward",
        inputs(4),
        attention_both,
        attention_both_reference,
        lambda q, k, v, start, g: gradients(torch_forward, (q, k, v), g),
        flops=12 * pairs * C,
        bytes=12 * C4,
    )
    cos, sin = rope.table(T, C // H, 10000.0)
    positions = np.tile(np.arange(T), B)

    def turn(x: Array) -> Array:
        out = np.empty_like(x)
        rope.rotate(x, positions, cos, sin, H, 1.0, out)
        return out

    def torch_turn(x: Array) -> Array:
        torch = torch_module()
        a, b = x.view(B, T, H, -1).chunk(2, dim=-1)
        c, s = torch.from_numpy(cos)[:, None], torch.from_numpy(sin)[:, None]
        return torch.cat([a * c - b * s, b * c + a * s], dim=-1).view(x.shape)

    register(
        "rotary positions",
        normal((B * T, C)),
        turn,
        lambda x: rope.reference(x.reshape(B * T, H, -1), positions, cos, sin).reshape(x.shape),
        torch_turn,
        flops=3 * B * T * C,
        bytes=8 * B * T * C,
    )


# ------------------------------------------------------------------------------------------------ output layer
def logps(hidden: Array, weight: Array, targets: Array) -> Array:
    out, entropy = np.empty(len(hidden), hidden.dtype), np.empty(len(hidden), hidden.dtype)
    cross_entropy.logps_forward(hidden, weight, targets, 1.0, out, entropy)
    return out


def nll_both(hidden: Array, weight: Array, targets: Array) -> tuple[Array, Array]:
    dh, dw = np.empty_like(hidden), np.empty_like(weight)
    share = np.full(len(hidden), 1 / len(hidden), hidden.dtype)
    cross_entropy.weighted_nll(hidden, weight, targets, share, dh, dw)
    return dh, dw


def nll_both_reference(hidden: Array, weight: Array, targets: Array) -> tuple[Array, Array]:
    logits = hidden @ weight.T
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    p[np.arange(len(p)), targets] -= 1
    p /= len(p)
    return p @ weight, p.T @ hidden


def output_layer(N: int, C: int, V: int) -> None:
    def inputs(rng: np.random.Generator) -> tuple[Array, ...]:
        hidden, weight = rng.standard_normal((N, C), np.float32), 0.2 * rng.standard_normal((V, C), np.float32)
        return hidden, weight, rng.integers(0, V, N)

    def torch_loss(hidden: Array, weight: Array, targets: Array) -> Array:
        return functional().cross_entropy(hidden @ weight.T, targets)

    def torch_logps(hidden: Array, weight: Array, targets: Array) -> Array:
        return torch_module().log_softmax(hidden @ weight.T, dim=-1).gather(1, targets[:, None])[:, 0]

    def torch_both(hidden: Array, weight: Array, targets: Array) -> Array:
        return gradients(lambda h, w: torch_loss(h, w, targets), (hidden, weight), None)

    register(
        "token log-probabilities",
        inputs,
        logps,
        lambda h, w, t: cross_entropy.reference(h, w, t)[0],
        torch_logps,
        flops=2 * N * C * V + 4 * N * V,
        bytes=4 * (N * C + C * V),
    )
    register(
        "cross-entropy forward + backward",
        inputs,
        nll_both,
        nll_both_reference,
        torch_both,
        flops=6 * N * C * V + 6 * N * V,
        bytes=8 * (N * C + C * V),
    )


# --------------------------------------------------------------------------------------------------- optimiser
def updates(n: int) -> None:
    def inputs(rng: np.random.Generator) -> tuple[Array, ...]:
        w, g, m, v = (0.1 * rng.standard_normal(n, np.float32) for _ in range(4))
        return w, g, m, v * v

    def update(w: Array, g: Array, m: Array, v: Array) -> tuple[Array, Array, Array]:
        adamw.update(w, g, m, v, *ADAM, 1.0)
        return w, m, v

    def torch_update(w: Array, g: Array, m: Array, v: Array) -> tuple[Array, Array, Array]:
        torch = torch_module()
        step, rate, beta1, beta2, eps, decay = ADAM
        done = torch.tensor(float(step))
        torch._fused_adamw_(
            [w],
            [g],
            [m],
            [v],
            [],
            [done],
            lr=rate,
            beta1=beta1,
            beta2=beta2,
            weight_decay=decay,
            eps=eps,
            amsgrad=False,
            maximize=False,
        )
        return w, m, v

    register(
        f"AdamW, {n:,} parameters",
        inputs,
        update,
        lambda w, g, m, v: adamw.reference(w, g, m, v, *ADAM),
        torch_update,
        flops=13 * n,
        bytes=28 * n,
    )
    register(
        "gradient norm",
        normal((n,)),
        lambda g: np.sqrt(adamw.sum_of_squares(g)),
        lambda g: np.sqrt(np.sum(g * g)),
        lambda g: torch_module().linalg.vector_norm(g),
        flops=2 * n,
        bytes=4 * n,
    )


# -------------------------------------------------------------------------------------------------- generation
def decoding(B: int, T: int, H: int, C: int, V: int) -> None:
    D = C // H
    cos, sin = rope.table(T, D, 10000.0)
    last, slots = np.full(B, T - 1), np.arange(B)

    def one_token(qkv: Array, keys: Array, values: Array) -> Array:
        out = np.empty((B, C), qkv.dtype)
        decode.attend(qkv.copy(), slots, last, keys, values, cos, sin, H, out)
        return out

    def one_token_reference(qkv: Array, keys: Array, values: Array) -> Array:
        q, k, v = (x.reshape(B, H, D) for x in split_heads(qkv, H, H))
        q, k = (rope.reference(x, last, cos, sin) for x in (q, k))
        keys[..., -1], values[:, :, -1] = k, v
        scores = np.einsum("bhd,bhdj->bhj", q, keys) / np.float32(np.sqrt(D))
        p = np.exp(scores - scores.max(-1, keepdims=True))
        return np.einsum("bhj,bhjd->bhd", p / p.sum(-1, keepdims=True), values).reshape(B, C)

    def torch_one_token(qkv: Array, keys: Array, values: Array) -> Array:
        torch = torch_module()
        c, s = torch.from_numpy(cos)[-1], torch.from_numpy(sin)[-1]
        q, k, v = (x.view(B, H, 1, D) for x in split_heads(qkv, H, H))
        (qa, qb), (ka, kb) = q.chunk(2, dim=-1), k.chunk(2, dim=-1)
        q, k = (torch.cat([a * c - b * s, b * c + a * s], dim=-1) for a, b in ((qa, qb), (ka, kb)))
        keys[..., -1:], values[:, :, -1:] = k.mT, v
        return functional().scaled_dot_product_attention(q, keys.mT, values).view(B, C)

    def draw(logits: Array, uniforms: Array) -> Array:
        tokens, logp = np.empty(B, np.int64), np.empty(B)
        sample.sample(logits.copy(), uniforms, 1.0, 0, 1.0, tokens, logp)
        return logp

    def draw_reference(logits: Array, uniforms: Array) -> Array:
        logp = logits - logits.max(-1, keepdims=True)
        logp -= np.log(np.exp(logp).sum(-1, keepdims=True))
        tokens = (np.cumsum(np.exp(logp), axis=-1, dtype=np.float64) <= uniforms[:, None]).sum(axis=-1)
        return logp[np.arange(B), np.minimum(tokens, V - 1)]

    register(
        f"attention for one token of {B}",
        normal((B, 3 * C), (B, H, D, T), (B, H, T, D)),
        one_token,
        one_token_reference,
        torch_one_token,
        flops=4 * B * T * C,
        bytes=8 * B * T * C,
    )
    register(
        f"sampling one token of {B}",
        lambda rng: (rng.standard_normal((B, V), np.float32), rng.random(B)),
        draw,
        draw_reference,
        flops=4 * B * V,
        bytes=4 * B * V,
    )
