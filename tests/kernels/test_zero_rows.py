"""Kernels write all of their outputs, with any number of rows, 0 included: outputs start as NaN here."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minipost.kernels import adamw, attention, cross_entropy, decode, embedding, rms_norm, rope, sample, swiglu

few = st.integers(1, 9)
rows = st.just(0) | st.integers(0, 30)
seeds = st.integers(0, 2**32 - 1)
check = settings(deadline=None, max_examples=25)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


class Room:
    """Arrays of one type: random inputs, and outputs that hold NaN."""

    def __init__(self, dtype: type, seed: int) -> None:
        self.dtype, self.rng = dtype, np.random.default_rng(seed)

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.normal(size=shape).astype(self.dtype)

    def unwritten(self, *shape: int) -> np.ndarray:
        return np.full(shape, np.nan, self.dtype)

    def close(self, a: np.ndarray, b: np.ndarray) -> None:
        tolerance = 1e-4 if self.dtype is np.float32 else 1e-9
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@dtypes
@check
@given(N=rows, C=few, seed=seeds)
def test_rms_norm(dtype: type, N: int, C: int, seed: int) -> None:
    room = Room(dtype, seed)
    g, x, gain = room.normal(N, C), room.normal(N, C), room.normal(C)
    y, inverse_rms, dx, dgain = room.unwritten(N, C), room.unwritten(N), room.unwritten(N, C), room.unwritten(C)
    rms_norm.forward(x, gain, 1e-5, y, inverse_rms)
    rms_norm.backward(g, x, gain, inverse_rms, dx, dgain)
    n = x * inverse_rms[:, None]
    room.close(y, rms_norm.reference(x, gain, 1e-5))
    room.close(dgain, (g * n).sum(axis=0))
    room.close(dx, (g * gain - n * np.mean(g * gain * n, axis=1, keepdims=True)) * inverse_rms[:, None])


@dtypes
@check
@given(N=rows, F=few, seed=seeds)
def test_swiglu(dtype: type, N: int, F: int, seed: int) -> None:
    room = Room(dtype, seed)
    g, gate_up, y, dx = room.normal(N, F), room.normal(N, 2 * F), room.unwritten(N, F), room.unwritten(N, 2 * F)
    swiglu.forward(gate_up, y)
    swiglu.backward(g, gate_up, dx)
    gate, up = np.split(gate_up, 2, axis=1)
    s = 1 / (1 + np.exp(-gate))
    room.close(y, swiglu.reference(gate_up))
    room.close(dx, np.concatenate([g * up * s * (1 + gate * (1 - s)), g * gate * s], axis=1))


@dtypes
@check
@given(N=rows, H=st.integers(1, 3), half=st.integers(1, 4), seed=seeds)
def test_rope(dtype: type, N: int, H: int, half: int, seed: int) -> None:
    room, positions = Room(dtype, seed), np.random.default_rng(seed).integers(0, 20, N)
    cos, sin = rope.table(20, 2 * half, 10000.0, dtype)
    x, out = room.normal(N, H * 2 * half), room.unwritten(N, H * 2 * half)
    rope.rotate(x, positions, cos, sin, H, 1.0, out)
    room.close(out.reshape(N, H, 2 * half), rope.reference(x.reshape(N, H, 2 * half), positions, cos, sin))


@dtypes
@check
@given(N=rows, C=few, V=few, seed=seeds)
def test_embedding(dtype: type, N: int, C: int, V: int, seed: int) -> None:
    room = Room(dtype, seed)
    g, tokens, dweight = room.normal(N, C), room.rng.integers(0, V, N), room.unwritten(V, C)
    embedding.backward(g, tokens, dweight)
    room.close(dweight, embedding.reference(g, tokens, V))


@dtypes
@check
@given(N=rows, C=few, V=few, wanted=st.booleans(), seed=seeds)
@example(N=2 * cross_entropy.CHUNK, C=3, V=5, wanted=True, seed=0)
def test_cross_entropy(dtype: type, N: int, C: int, V: int, wanted: bool, seed: int) -> None:
    """Gradients against NumPy's; `dweight` may have no rows."""
    room = Room(dtype, seed)
    hidden, weight, targets = room.normal(N, C), room.normal(V, C), room.rng.integers(0, V, N)
    logps, entropy = room.unwritten(N), room.unwritten(N)
    cross_entropy.logps_forward(hidden, weight, targets, 1.0, logps, entropy)
    for got, expected in zip((logps, entropy), cross_entropy.reference(hidden, weight, targets), strict=True):
        room.close(got, expected)

    g = room.normal(N)
    p = np.exp(hidden @ weight.T)
    dlogits = g[:, None] * (np.eye(V)[targets] - p / p.sum(axis=1, keepdims=True))
    expected = dlogits @ weight, (dlogits.T @ hidden)[: V if wanted else 0]
    room_for_both = [(room.unwritten(N, C), room.unwritten(V if wanted else 0, C)) for _ in range(2)]
    cross_entropy.logps_backward(g, np.zeros_like(g), hidden, weight, targets, 1.0, *room_for_both[0])
    loss = cross_entropy.weighted_nll(hidden, weight, targets, -g, *room_for_both[1])
    for gradients in room_for_both:
        for got, want in zip(gradients, expected, strict=True):
            room.close(got, want)
    np.testing.assert_allclose(loss, (g * logps).sum(), rtol=1e-4, atol=1e-4)


@dtypes
@check
@given(B=st.integers(0, 2), T=st.integers(0, 40), K=st.integers(1, 2), group=st.integers(1, 2), seed=seeds)
def test_attention(dtype: type, B: int, T: int, K: int, group: int, seed: int) -> None:
    room, D = Room(dtype, seed), 4
    H, start = K * group, np.zeros((B, T), np.int64)
    q, k, v, g = (room.normal(B, T, heads * D) for heads in (H, K, K, H))
    out, lse = room.unwritten(B, T, H * D), room.unwritten(B, H, T)
    dq, dk, dv = (room.unwritten(B, T, heads * D) for heads in (H, K, K))
    attention.forward(q, k, v, start, H, out, lse)
    attention.backward(g, q, k, v, out, lse, start, H, dq, dk, dv)
    if T > 0:
        q, k, v = (x.reshape(B, T, heads, D) for x, heads in ((q, H), (k, K), (v, K)))
        room.close(out, attention.reference(q, k, v, start).reshape(B, T, H * D))
    assert all(np.isfinite(x).all() for x in (out, lse, dq, dk, dv))


@dtypes
@check
@given(n=st.just(0) | st.integers(0, 3000), seed=seeds)
def test_adamw(dtype: type, n: int, seed: int) -> None:
    room = Room(dtype, seed)
    w, g, m, v = (room.normal(n) for _ in range(4))
    v = v * v
    expected = adamw.reference(w, g, m, v, 3, 1e-2, 0.9, 0.95, 1e-8, 0.1)
    adamw.update(w, g, m, v, 3, 1e-2, 0.9, 0.95, 1e-8, 0.1, 1.0)
    for got, want in zip((w, m, v), expected, strict=True):
        room.close(got, want)
    np.testing.assert_allclose(adamw.sum_of_squares(g), np.sum(g.astype(np.float64) ** 2), rtol=1e-5)


@dtypes
@check
@given(B=rows, V=few, temperature=st.sampled_from([0.0, 1.0]), k=st.integers(0, 9), p=st.sampled_from([0.5, 1.0]))
def test_sample(dtype: type, B: int, V: int, temperature: float, k: int, p: float) -> None:
    room = Room(dtype, B + V)
    logits, tokens, logps = room.normal(B, V), np.full(B, -1), np.full(B, np.nan)
    expected = [sample.reference(row, temperature, k, p) for row in logits]
    sample.sample(logits, room.rng.random(B), temperature, k, p, tokens, logps)
    assert ((tokens >= 0) & (tokens < V)).all()
    room.close(logps, np.array([row[token] for row, token in zip(expected, tokens, strict=True)]))


@dtypes
@check
@given(B=rows, fan_in=few, out=st.integers(1, 200), seed=seeds)
@example(B=0, fan_in=4000, out=3, seed=0)
def test_a_projection(dtype: type, B: int, fan_in: int, out: int, seed: int) -> None:
    room = Room(dtype, seed)
    x, w = room.normal(B, fan_in), room.normal(out, fan_in)
    for stored, by_rows in ((w, True), (decode.panels(w), False)):
        y = room.unwritten(B, out)
        decode.project(x, stored, by_rows, 0.0, y)
        room.close(y, x @ w.T)


@dtypes
@pytest.mark.parametrize("by_rows", [True, False])
def test_a_decoding_layer_without_sequences_leaves_the_cache_alone(dtype: type, by_rows: bool) -> None:
    room, (C, H, K, D, F, limit) = Room(dtype, 0), (8, 2, 1, 4, 12, 5)
    keys, values = room.normal(3, K, D, limit), room.normal(3, K, limit, D)
    before = keys.copy(), values.copy()
    none, x = np.zeros(0, np.int64), room.normal(0, C)
    shapes = ((C,), ((H + 2 * K) * D, C), (C, H * D), (C,), (2 * F, C), (C, F))
    weights = [room.normal(*shape) for shape in shapes]
    decode.layer(x, none, none, keys, values, *rope.table(limit, D, 1e4, dtype), H, 1e-5, by_rows, *weights)
    np.testing.assert_array_equal(keys, before[0])
    np.testing.assert_array_equal(values, before[1])
