"""Inputs for the laws, as hypothesis draws them, and the few helpers that the law tests share.

Numbers lie on a grid of thousandths: they shrink to something readable, ties happen, and nothing is so small that it
tests floating point instead of the law. Shapes follow the dimension letters: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minipost.autograd import Tensor
from minipost.laws.law import GARBAGE
from minipost.laws.strategies import numbers as numbers  # for the tests, too

law = settings(deadline=None, max_examples=60)
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 4)


def reals(*shape: int, low: float = -3.0, high: float = 3.0) -> st.SearchStrategy[np.ndarray]:
    """Float64 arrays of `shape` on the grid of thousandths in [low, high]."""
    grid = st.integers(round(1000 * low), round(1000 * high))
    return hnp.arrays(np.int64, shape, elements=grid).map(lambda a: a / 1000)


@st.composite
def runs(draw: st.DrawFn, B: int, T: int, empty: bool = True) -> np.ndarray:
    """Masks [B, T] whose rows are one run of ones: prompt, response, padding."""
    mask = np.zeros((B, T), np.int64)
    for row in mask:
        start = draw(st.integers(0, T - 1))
        row[start : draw(st.integers(start if empty else start + 1, T))] = 1
    return mask


@st.composite
def token_batches(draw: st.DrawFn, *names: str, empty: bool = True, max_tokens: int = 6) -> SimpleNamespace:
    """Named arrays [B, T] and a `mask` of runs; with `empty=False` each row counts at least one token."""
    B, T = draw(sizes), draw(st.integers(1, max_tokens))
    arrays = {name: draw(reals(B, T)) for name in names}
    return SimpleNamespace(B=B, T=T, mask=draw(runs(B, T, empty)), **arrays)


@st.composite
def vectors(draw: st.DrawFn, *names: str, low: float = -3.0, high: float = 3.0) -> SimpleNamespace:
    """Named arrays [B]."""
    B = draw(sizes)
    return SimpleNamespace(B=B, **{name: draw(reals(B, low=low, high=high)) for name in names})


def poisoned(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`x` with NaN and infinities wherever the mask does not count."""
    return np.where(np.asarray(mask) != 0, x, np.resize(GARBAGE, x.shape))


def gradient(loss: Callable[..., Any], *inputs: np.ndarray) -> list[np.ndarray]:
    """The gradients of a scalar `loss(*inputs)` with respect to all inputs, as the tape computes them."""
    tensors = [Tensor(np.array(x, np.float64)) for x in inputs]
    loss(*tensors).backward()
    return [np.zeros_like(t.data) if t.grad is None else t.grad for t in tensors]


def logistic(z: Any) -> Any:
    """The tests' own sigmoid, for moderate z."""
    return 1 / (1 + np.exp(-np.asarray(z, np.float64)))
