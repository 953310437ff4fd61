"""Every fused operation equals its composition of primitives, with any number of rows, 0 included.

What an operation or its gradient does not write shows: the room that it asks for is filled with NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minipost.autograd import Tensor, fused
from minipost.autograd.primitives import exp, log_softmax, mean, sigmoid, sqrt, stack, where
from minipost.kernels import rope

few = st.integers(1, 9)
rows = st.just(0) | st.integers(0, 2 * 64)
seeds = st.integers(0, 2**32 - 1)
check = settings(deadline=None, max_examples=25)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
Operation = Callable[..., Any]


class Poisoned:
    """NumPy, but arrays that nobody has written to hold NaN."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def empty(shape: Any, dtype: Any = float) -> np.ndarray:
        return np.full(shape, np.nan, dtype)

    @staticmethod
    def empty_like(x: np.ndarray) -> np.ndarray:
        return np.full_like(x, np.nan)


def agree(operation: Operation, composed: Operation, inputs: list[np.ndarray], rng: np.random.Generator) -> None:
    """Value and gradients of both are equal; without rows, gradients are exactly 0."""
    dtype = inputs[0].dtype
    tolerance = 1e-3 if dtype == np.float32 else 1e-8
    own, expected = ([Tensor(x) for x in inputs] for _ in range(2))
    with patch.object(fused, "np", Poisoned()):
        y, z = operation(*own), composed(*expected)
        assert y.shape == z.shape and y.dtype == dtype
        np.testing.assert_allclose(y.data, z.data, rtol=tolerance, atol=tolerance)
        g = rng.normal(size=y.shape).astype(dtype)
        y.backward(g)
    z.backward(g.astype(z.dtype))
    for a, b in zip(own, expected, strict=True):
        assert a.grad is not None and a.grad.dtype == dtype
        scale = float(np.abs(b.grad).max(initial=1))
        np.testing.assert_allclose(a.grad, b.grad, rtol=tolerance, atol=tolerance * scale)
        assert a.grad.any() or not np.any(b.grad)
        assert len(inputs[0]) or not a.grad.any()


def normal(rng: np.random.Generator, dtype: type, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


@dtypes
@check
@given(N=rows, I=st.integers(0, 9), O=st.integers(0, 9), seed=seeds)
@example(N=0, I=300, O=600, seed=0)
@example(N=64, I=0, O=3, seed=0)
@example(N=64, I=3, O=0, seed=0)
def test_linear(dtype: type, N: int, I: int, O: int, seed: int) -> None:  # noqa: E741
    rng = np.random.default_rng(seed)
    agree(fused.linear, lambda x, w: x @ w.transpose(), normal(rng, dtype, (N, I), (O, I)), rng)


@dtypes
@check
@given(N=rows, C=few, seed=seeds)
def test_rms_norm(dtype: type, N: int, C: int, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def composed(x: Any, gain: Any) -> Any:
        return gain * x / sqrt(mean(x * x, axis=1, keepdims=True) + 1e-5)

    agree(fused.rms_norm, composed, normal(rng, dtype, (N, C), (C,)), rng)


@dtypes
@check
@given(N=rows, F=few, seed=seeds)
def test_swiglu(dtype: type, N: int, F: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = normal(rng, dtype, (N, 2 * F))
    agree(fused.swiglu, lambda x: x[:, :F] * sigmoid(x[:, :F]) * x[:, F:], inputs, rng)


@dtypes
@check
@given(n=rows, V=few, C=few, seed=seeds)
def test_embedding_and_gathered_rows(dtype: type, n: int, V: int, C: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table, tokens, places = normal(rng, dtype, (V, C)), rng.integers(0, V, n), rng.permutation(V)[:n]
    agree(lambda w: fused.embedding(w, tokens), lambda w: w[tokens], table, rng)
    agree(lambda x: fused.gather_rows(x, places), lambda x: x[places], table, rng)


@dtypes
@check
@given(N=rows, C=few, V=few, temperature=st.floats(0.5, 2), seed=seeds)
def test_token_logps_and_weighted_nll(dtype: type, N: int, C: int, V: int, temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, targets, weights = normal(rng, dtype, (N, C), (V, C)), rng.integers(0, V, N), rng.random(N).astype(dtype)

    def logps(h: Any, w: Any, temperature: float = 1.0) -> Any:
        return log_softmax(h @ w.transpose() * (1 / temperature))  # [N, V]

    def both(h: Any, w: Any) -> Any:
        by_token = logps(h, w, temperature)
        return stack([by_token[np.arange(N), targets], -(exp(by_token) * by_token).sum(axis=1)])

    agree(lambda h, w: fused.token_logps(h, w, targets, temperature), both, inputs, rng)
    agree(
        lambda h, w: fused.weighted_nll(h, w, targets, weights),
        lambda h, w: -(logps(h, w)[np.arange(N), targets] * weights).sum(),
        inputs,
        rng,
    )


@dtypes
@check
@given(B=st.integers(0, 3), T=st.integers(1, 40), K=st.integers(1, 2), group=st.integers(1, 2), seed=seeds)
@example(B=0, T=5, K=2, group=2, seed=0)
def test_attention(dtype: type, B: int, T: int, K: int, group: int, seed: int) -> None:
    rng, H, D = np.random.default_rng(seed), K * group, 4
    start = np.maximum.accumulate(np.where(rng.random((B, T)) < 0.2, np.arange(T), 0), axis=1)
    layout = fused.Layout(np.arange(T) - start, start, *rope.table(T, D, 10000.0, dtype))
    visible = np.tril(np.ones((T, T), bool)) & (np.arange(T) >= start[:, :, None])  # [B, T, T]
    cos, sin = layout.cos[layout.positions][:, :, None], layout.sin[layout.positions][:, :, None]  # [B, T, 1, D/2]

    def turned(x: Any) -> Any:
        a, b = x[..., : D // 2], x[..., D // 2 :]
        both = stack([a * cos - b * sin, b * cos + a * sin], axis=3)
        return both.reshape(*x.shape)

    def composed(qkv: Any) -> Any:
        x = qkv.reshape(B, T, H + 2 * K, D)
        of_head = np.arange(H) // group
        q, k, v = turned(x[:, :, :H]), turned(x[:, :, H : H + K])[:, :, of_head], x[:, :, H + K :][:, :, of_head]
        q, k, v = q.transpose(0, 2, 1, 3), k.transpose(0, 2, 3, 1), v.transpose(0, 2, 1, 3)
        scores = where(visible[:, None], q @ k * D**-0.5, -1e30)
        return (exp(log_softmax(scores)) @ v).transpose(0, 2, 1, 3).reshape(B * T, H * D)

    inputs = normal(rng, dtype, (B * T, (H + 2 * K) * D))
    agree(lambda qkv: fused.attention(qkv, layout, H, K), composed, inputs, rng)


def test_attention_over_rows_without_tokens() -> None:
    none = np.zeros((2, 0), np.int64)
    qkv = Tensor(np.ones((0, 12)))
    out = fused.attention(qkv, fused.Layout(none, none, *rope.table(4, 4, 10000.0)), 1, 1)
    out.backward(np.ones((0, 4)))
    assert out.shape == (0, 4) and qkv.grad.shape == (0, 12)


@check
@given(shape=st.lists(st.integers(0, 3), min_size=1, max_size=3), axis=st.none() | st.integers(0, 2))
def test_the_mean_of_nothing_is_0_and_of_no_rows_no_row(shape: list[int], axis: int | None) -> None:
    axis = None if axis is None else axis % len(shape)
    x = Tensor(np.ones(shape))
    y = mean(x, axis)
    terms = x.size if axis is None else shape[axis]
    np.testing.assert_allclose(y.data, np.ones_like(np.sum(x.data, axis)) * (terms > 0))
    y.backward(np.ones(y.shape))
    np.testing.assert_allclose(x.grad, np.full(shape, 1 / max(terms, 1)))
