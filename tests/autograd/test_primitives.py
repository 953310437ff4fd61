"""Every primitive against finite differences, over shapes and broadcasting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import broadcastable_shapes

from minipost.autograd import Tensor, check_gradient, primitives
from minipost.autograd import primitives as F

shapes = st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple)
seeds = st.integers(0, 2**32 - 1)

UNARY = {
    "exp": F.exp,
    "log": lambda a: F.log(a * a + 0.5),
    "tanh": F.tanh,
    "softplus": F.softplus,
    "sigmoid": F.sigmoid,
    "sqrt": lambda a: F.sqrt(a * a + 0.5),
    "power": lambda a: a**3,
    "relu": F.relu,
    "clip": lambda a: F.clip(a, -0.7, 0.7),
    "mean": F.mean,
    "log_softmax": lambda a: F.log_softmax(a.reshape(1, -1) if isinstance(a, Tensor) else np.reshape(a, (1, -1))),
}
BINARY = {
    "add": F.add,
    "subtract": F.subtract,
    "multiply": F.multiply,
    "divide": lambda a, b: a / (b * b + 0.5),
    "maximum": F.maximum,
    "minimum": F.minimum,
    "where": lambda a, b: F.where(F.value(a) > 0, a, b) if np.ndim(F.value(a)) else F.where(True, a, b),
}


def away_from_kinks(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Distinct values, no two closer than a finite-difference step, none near 0 or the clip bounds."""
    size = int(np.prod(shape))
    grid = (rng.permutation(4 * size + 4)[:size] - 2 * size - 2 + 0.5) / (size + 1)
    return grid.reshape(shape) + rng.uniform(0.01, 0.02)


@settings(deadline=None, max_examples=25)
@given(shape=shapes, seed=seeds)
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = away_from_kinks(rng, shape)
    x = x[np.newaxis] if x.ndim == 0 else x
    x = np.where(np.abs(np.abs(x) - 0.7) < 1e-3, 0.5, x)
    check_gradient(UNARY[name], x, rng=rng)


@settings(deadline=None, max_examples=25)
@given(data=st.data(), shape=shapes, seed=seeds)
@pytest.mark.parametrize("name", BINARY)
def test_binary_with_broadcasting(name: str, data: st.DataObject, shape: tuple[int, ...], seed: int) -> None:
    other = data.draw(broadcastable_shapes(shape, max_dims=3, max_side=4))
    rng = np.random.default_rng(seed)
    both = away_from_kinks(rng, (int(np.prod(shape)) + int(np.prod(other)),))
    x, y = both[: int(np.prod(shape))].reshape(shape), both[int(np.prod(shape)) :].reshape(other)
    check_gradient(BINARY[name], x, y, rng=rng)


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 4), k=st.integers(1, 4), m=st.integers(1, 4), lead=shapes, seed=seeds)
def test_matmul_with_leading_axes(n: int, k: int, m: int, lead: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    check_gradient(F.matmul, rng.normal(size=(*lead, n, k)), rng.normal(size=(k, m)), rng=rng)
    check_gradient(F.matmul, rng.normal(size=(n, k)), rng.normal(size=(*lead, k, m)), rng=rng)


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 4), k=st.integers(1, 4), seed=seeds)
def test_matmul_with_a_vector(n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, v, w = rng.normal(size=(n, k)), rng.normal(size=k), rng.normal(size=n)
    assert F.matmul(a, v).shape == (a @ v).shape and F.matmul(w, a).shape == (w @ a).shape
    check_gradient(F.matmul, a, v, rng=rng)
    check_gradient(F.matmul, w, a, rng=rng)
    check_gradient(F.matmul, v, rng.normal(size=k), rng=rng)


@settings(deadline=None, max_examples=25)
@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple), data=st.data(), seed=seeds)
def test_shapes(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    axis = data.draw(st.one_of(st.none(), st.integers(-len(shape), len(shape) - 1)))
    keep = data.draw(st.booleans())
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    picks = np.array(data.draw(st.lists(st.integers(0, shape[0] - 1), min_size=1, max_size=6)))
    check_gradient(lambda a: F.sum(a, axis, keep), x, rng=rng)
    check_gradient(lambda a: F.mean(a, axis, keep), x, rng=rng)
    check_gradient(lambda a: F.reshape(a, -1), x, rng=rng)
    check_gradient(lambda a: F.transpose(a, *order), x, rng=rng)
    check_gradient(lambda a: F.take(a, picks), x, rng=rng)
    check_gradient(lambda a, b: F.concatenate([a, b, a], axis=len(shape) - 1), x, rng.normal(size=shape), rng=rng)
    check_gradient(lambda a, b: F.stack([a, b]), x, rng.normal(size=shape), rng=rng)


@pytest.mark.parametrize("name", [n for n in primitives.__all__ if n not in ("Tensor",)])
def test_arrays_in_array_out(name: str) -> None:
    """Without a Tensor nothing is recorded, and float32 stays float32."""
    x = np.full((2, 2), 0.5, np.float32)
    function = getattr(primitives, name)
    out = {
        "concatenate": lambda: function([x, x]),
        "stack": lambda: function([x, x]),
        "reshape": lambda: function(x, 4),
        "take": lambda: function(x, 0),
        "power": lambda: function(x, 2),
        "clip": lambda: function(x, 0, 1),
        **dict.fromkeys((*BINARY, "matmul"), lambda: function(x, x)),
        "where": lambda: function(x > 0, x, x),
    }.get(name, lambda: function(x))()
    assert isinstance(out, np.ndarray | np.generic) and out.dtype == np.float32


def test_a_wrong_derivative_is_caught() -> None:
    from minipost.autograd import record, value

    def wrong_exp(a: Tensor) -> Tensor:
        y = np.exp(value(a))
        return record(y, (a,), lambda g: (g * y * 1.001,))

    with pytest.raises(AssertionError, match="tape"):
        check_gradient(wrong_exp, np.array([0.3, 0.7]), rng=np.random.default_rng(0))
