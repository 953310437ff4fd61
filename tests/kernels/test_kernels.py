"""Every kernel equals its NumPy reference, forward and backward, at ragged and odd sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minipost.autograd import Tensor, check_gradient, fused
from minipost.kernels import adamw, attention, cross_entropy, decode, embedding, matmul, rms_norm, rope, sample, swiglu
from minipost.kernels.jit import largest

seeds = st.integers(0, 2**32 - 1)
check = settings(deadline=None, max_examples=20)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def close(a: np.ndarray, b: np.ndarray) -> None:
    tolerance = 2e-5 if a.dtype == np.float32 else 1e-9
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(b).max(initial=0))))


def some_starts(rng: np.random.Generator, B: int, T: int) -> np.ndarray:
    """Document starts of packed rows: never falling, never beyond the token itself."""
    new = rng.random((B, T)) < 0.2
    return np.maximum.accumulate(np.where(new, np.arange(T), 0), axis=1).astype(np.int32)


@dtypes
@check
@given(n=st.integers(1, 40), k=st.integers(1, 40), m=st.integers(1, 40), ta=st.booleans(), tb=st.booleans(), seed=seeds)
def test_gemm(dtype: type, n: int, k: int, m: int, ta: bool, tb: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(k, n) if ta else (n, k)).astype(dtype)
    b = rng.normal(size=(m, k) if tb else (k, m)).astype(dtype)
    c = rng.normal(size=(n, m)).astype(dtype)
    expected = 0.5 * (a.T if ta else a) @ (b.T if tb else b) + 2 * c
    matmul.matmul_into(a, b, c, ta, tb, 0.5, 2.0)
    close(c, expected)


@check
@given(x=st.lists(st.floats(-87, 88, width=32), min_size=1, max_size=50))
def test_exponential(x: list[float]) -> None:
    from minipost.kernels.jit import exp, kernel

    @kernel
    def apply(x: np.ndarray, y: np.ndarray) -> None:
        for i in range(x.shape[0]):
            y[i] = exp(x[i])

    values = np.array(x, np.float32)
    out = np.empty_like(values)
    apply(values, out)
    np.testing.assert_allclose(out, np.exp(values.astype(np.float64)), rtol=4e-7)


@dtypes
@check
@given(x=st.lists(st.floats(-1e9, 1e9, width=32), min_size=1, max_size=40), at=st.integers(0, 39))
def test_largest(dtype: type, x: list[float], at: int) -> None:
    values = np.array(x, dtype)
    assert largest(values) == values.max()
    values[at % len(x)] = np.inf
    assert largest(values) == np.inf


@dtypes
@check
@given(N=st.integers(0, 30), C=st.integers(1, 33), V=st.integers(1, 9), seed=seeds)
def test_embedding(dtype: type, N: int, C: int, V: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tokens, weight = rng.integers(0, V, N), Tensor(rng.normal(size=(V, C)).astype(dtype))
    g = rng.normal(size=(N, C)).astype(dtype)
    fused.embedding(weight, tokens).backward(g)
    close(weight.grad, embedding.reference(g, tokens, V))


@dtypes
@check
@given(N=st.integers(1, 9), C=st.integers(1, 33), seed=seeds)
def test_rms_norm(dtype: type, N: int, C: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, gain = rng.normal(size=(N, C)).astype(dtype), rng.normal(size=C).astype(dtype)
    close(fused.rms_norm(x, gain), rms_norm.reference(x, gain, 1e-5))
    check_gradient(fused.rms_norm, x.astype(np.float64), gain.astype(np.float64), rng=rng)


@dtypes
@check
@given(N=st.integers(1, 9), F=st.integers(1, 33), seed=seeds)
def test_swiglu(dtype: type, N: int, F: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (3 * rng.normal(size=(N, 2 * F))).astype(dtype)
    close(fused.swiglu(x), swiglu.reference(x))
    check_gradient(fused.swiglu, x.astype(np.float64), rng=rng)


@dtypes
@check
@given(N=st.integers(1, 9), H=st.integers(1, 3), half=st.integers(1, 8), seed=seeds)
def test_rope(dtype: type, N: int, H: int, half: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cos, sin = rope.table(20, 2 * half, 10000.0, dtype)
    x, positions = rng.normal(size=(N, H * 2 * half)).astype(dtype), rng.integers(0, 20, N)
    turned, back = np.empty_like(x), np.empty_like(x)
    rope.rotate(x, positions, cos, sin, H, 1.0, turned)
    close(turned.reshape(N, H, -1), rope.reference(x.reshape(N, H, -1), positions, cos, sin))
    rope.rotate(turned, positions, cos, sin, H, -1.0, back)
    close(back, x)


def attention_inputs(rng: np.random.Generator, B: int, T: int, K: int, group: int, half: int, dtype: type) -> tuple:
    D, H = 2 * half, K * group
    start = some_starts(rng, B, T)
    positions = (np.arange(T) - start).astype(np.int32)
    layout = fused.Layout(positions, start, *rope.table(T, D, 10000.0, dtype))
    return rng.normal(size=(B * T, (H + 2 * K) * D)).astype(dtype), layout, H, D


@dtypes
@check
@given(
    B=st.integers(1, 3),
    T=st.integers(1, 70),
    K=st.integers(1, 2),
    group=st.integers(1, 3),
    half=st.integers(1, 5),
    seed=seeds,
)
def test_attention(dtype: type, B: int, T: int, K: int, group: int, half: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    qkv, layout, H, D = attention_inputs(rng, B, T, K, group, half, dtype)
    q, k, v = (x.reshape(B * T, -1, D) for x in fused.split_heads(qkv, H, K))
    q, k = (rope.reference(x, layout.positions.reshape(-1), layout.cos, layout.sin) for x in (q, k))
    expected = attention.reference(*(x.reshape(B, T, -1, D) for x in (q, k, v)), layout.start)
    close(fused.attention(qkv, layout, H, K), expected.reshape(B * T, H * D))


@settings(deadline=None, max_examples=10)
@given(B=st.integers(1, 2), T=st.integers(1, 6), K=st.integers(1, 2), group=st.integers(1, 2), seed=seeds)
def test_attention_gradient(B: int, T: int, K: int, group: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    qkv, layout, H, _ = attention_inputs(rng, B, T, K, group, 1, np.float64)
    check_gradient(lambda x: fused.attention(x, layout, H, K), qkv, rng=rng)


def test_attention_gradient_across_tiles() -> None:
    rng = np.random.default_rng(0)
    qkv, layout, H, _ = attention_inputs(rng, 1, 2 * attention.TILE + 3, 1, 2, 1, np.float64)
    check_gradient(lambda x: fused.attention(x, layout, H, 1), qkv, rng=rng)


@dtypes
@check
@given(N=st.integers(1, 9), C=st.integers(1, 9), V=st.integers(1, 40), temperature=st.floats(0.3, 2), seed=seeds)
def test_token_logps(dtype: type, N: int, C: int, V: int, temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    hidden, weight = rng.normal(size=(N, C)).astype(dtype), rng.normal(size=(V, C)).astype(dtype)
    targets = rng.integers(0, V, N)
    close(
        fused.token_logps(hidden, weight, targets, temperature),
        np.stack(cross_entropy.reference(hidden, weight, targets, temperature)),
    )
    wide = hidden.astype(np.float64), weight.astype(np.float64)
    check_gradient(lambda h, w: fused.token_logps(h, w, targets, temperature), *wide, rng=rng)
    if dtype is np.float64:
        weights = rng.random(N)
        check_gradient(lambda h, w: fused.weighted_nll(h, w, targets, weights), *wide, rng=rng)


def test_cross_entropy_across_chunks() -> None:
    rng = np.random.default_rng(1)
    N = cross_entropy.CHUNK * 2 + 5
    hidden, weight, targets = rng.normal(size=(N, 7)), rng.normal(size=(11, 7)), rng.integers(0, 11, N)
    weights = rng.random(N)
    logps, _ = cross_entropy.reference(hidden, weight, targets)
    np.testing.assert_allclose(fused.token_logps(hidden, weight, targets)[0], logps, rtol=1e-12)
    np.testing.assert_allclose(fused.weighted_nll(hidden, weight, targets, weights), -(weights * logps).sum())
    h, w = Tensor(hidden), Tensor(weight)
    fused.weighted_nll(h, w, targets, weights).backward()
    h2, w2 = Tensor(hidden), Tensor(weight)
    (fused.token_logps(h2, w2, targets)[0] * -weights).sum().backward()
    np.testing.assert_allclose(h.grad, h2.grad, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(w.grad, w2.grad, rtol=1e-9, atol=1e-12)


@check
@given(n=st.integers(1, 40), m=st.integers(1, 6), V=st.integers(1, 8), seed=seeds)
def test_gathers(n: int, m: int, V: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tokens, index = rng.integers(0, V, n), rng.permutation(V)[: max(1, V // 2)]
    table = rng.normal(size=(V, m))
    np.testing.assert_array_equal(fused.embedding(table, tokens), table[tokens])
    check_gradient(lambda w: fused.embedding(w, tokens), table, rng=rng)
    check_gradient(lambda w: fused.gather_rows(w, index), table, rng=rng)
    check_gradient(fused.linear, rng.normal(size=(3, m)), table, rng=rng)


@dtypes
@check
@given(n=st.integers(1, 3000), step=st.integers(1, 50), scale=st.floats(0.1, 1), seed=seeds)
def test_adamw(dtype: type, n: int, step: int, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    w, g, m, v = (rng.normal(size=n).astype(dtype) for _ in range(4))
    v = v * v
    expected = adamw.reference(w, g * dtype(scale), m, v, step, 1e-2, 0.9, 0.95, 1e-8, 0.1)
    adamw.update(w, g, m, v, step, 1e-2, 0.9, 0.95, 1e-8, 0.1, scale)
    for got, want in zip((w, m, v), expected, strict=True):
        close(got, want.astype(dtype))
    np.testing.assert_allclose(adamw.sum_of_squares(g), np.sum(g.astype(np.float64) ** 2), rtol=1e-5)


@check
@given(
    V=st.integers(1, 30),
    temperature=st.sampled_from([0.0, 0.5, 1.0, 1.7]),
    k=st.integers(0, 31),
    p=st.sampled_from([0.3, 0.9, 1.0]),
    tie=st.booleans(),
    seed=seeds,
)
def test_sampling_records_the_transform_that_it_used(
    V: int, temperature: float, k: int, p: float, tie: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=V) * 3
    logits = np.round(logits) if tie else logits
    uniforms = (np.arange(500) + 0.5) / 500
    tokens, logps = np.empty(500, np.int64), np.empty(500)
    sample.sample(np.tile(logits, (500, 1)), uniforms, temperature, k, p, tokens, logps)
    expected = sample.reference(logits, temperature, k, p)
    np.testing.assert_allclose(logps, expected[tokens], atol=1e-9)
    share = np.bincount(tokens, minlength=V) / 500
    np.testing.assert_allclose(share, np.exp(expected), atol=1 / 250)


def test_decoding_attends_as_the_full_kernel_does() -> None:
    """One token at a time over the cache == all at once, rows of different lengths, grouped heads."""
    rng = np.random.default_rng(3)
    B, T, H, K, D = 3, 9, 4, 2, 6
    cos, sin = rope.table(T, D, 10000.0, np.float64)
    qkv = rng.normal(size=(B, T, (H + 2 * K) * D))
    positions = np.tile(np.arange(T, dtype=np.int32), (B, 1))
    layout = fused.Layout(positions, np.zeros((B, T), np.int32), cos, sin)
    expected = fused.attention(qkv.reshape(B * T, -1), layout, H, K).reshape(B, T, H * D)
    keys, values = np.zeros((5, K, D, T)), np.zeros((5, K, T, D))
    lengths, slots = np.array([9, 4, 7]), np.array([4, 0, 2])
    for t in range(T):
        active = np.flatnonzero(t < lengths)
        out = np.empty((len(active), H * D))
        at = np.full(len(active), t)
        decode.attend(qkv[active, t].copy(), slots[active], at, keys, values, cos, sin, H, out)
        np.testing.assert_allclose(out, expected[active, t], rtol=1e-10)


@check
@given(B=st.integers(1, 40), fan_in=st.integers(1, 70), out=st.integers(1, 200), beta=st.sampled_from([0.0, 1.0]))
@example(B=70, fan_in=600, out=130, beta=1.0)  # more rows than are multiplied at a time
def test_a_projection_is_the_product_however_its_matrix_is_stored(B: int, fan_in: int, out: int, beta: float) -> None:
    rng = np.random.default_rng(B + fan_in + out)
    x, w, y = rng.normal(size=(B, fan_in)), rng.normal(size=(out, fan_in)), rng.normal(size=(B, out))
    for stored, by_rows in ((w, True), (decode.panels(w), False)):
        found = y.copy()
        decode.project(x, stored, by_rows, beta, found)
        np.testing.assert_allclose(found, x @ w.T + beta * y, atol=1e-12)


@pytest.mark.parametrize("rows", [3, 64])
def test_a_linear_layer_of_mixed_types_has_the_wider_one_throughout(rows: int) -> None:
    rng = np.random.default_rng(rows)
    x, w = Tensor(rng.normal(size=(rows, 5))), Tensor(rng.normal(size=(4, 5)).astype(np.float32))
    y, g = fused.linear(x, w), rng.normal(size=(rows, 4)).astype(np.float32)
    y.backward(g)
    np.testing.assert_allclose(y.data, x.data @ w.data.T, rtol=1e-12)
    np.testing.assert_allclose(x.grad, g @ w.data, rtol=1e-5)
    np.testing.assert_allclose(w.grad, g.T @ x.data, rtol=1e-12)
    assert y.dtype == x.grad.dtype == np.float64
