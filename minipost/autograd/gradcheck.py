"""Is a derivative right? Compare it with finite differences, in float64, in every coordinate.

For a function `f` from arrays to one array, a direction `u` in the outputs turns it into the scalar `<u, f(x)>`. The
tape gives its gradient `vjp(u)`; central differences give `<u, f(x + h e) - f(x - h e)> / 2h` for each coordinate `e`.
One random `u` is enough: a wrong entry of the Jacobian hides only if `u` happens to be orthogonal to it
(HIPS/autograd's `test_util` checks the same inner product, `<u, jvp(v)> = <vjp(u), v>`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minipost.autograd.tensor import Array, AutogradError, Tensor, value


def check_gradient(
    function: Callable[..., Any],
    *inputs: Array,
    rng: np.random.Generator,
    step: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
) -> None:
    """Raise `AssertionError`, naming input, coordinate and both values, if a gradient of `function` is wrong.

    `inputs` are float64 arrays of any shape, all differentiable. Stay a few `step`s away from kinks.
    """
    for x in inputs:
        if x.dtype != np.float64:
            raise AutogradError(f"gradients are checked in float64, got {x.dtype} of shape {x.shape}.")
    tensors = [Tensor(x.copy()) for x in inputs]
    out = function(*tensors)
    u = rng.standard_normal(out.shape)
    out.backward(u)
    for i, x in enumerate(inputs):
        expected = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            ahead, behind = (_nudged(inputs, i, index, sign * step) for sign in (1, -1))
            expected[index] = np.sum(u * (value(function(*ahead)) - value(function(*behind)))) / (2 * step)
        grad = tensors[i].grad
        got = np.zeros_like(x) if grad is None else grad
        assert got.shape == x.shape, f"gradient of input {i} has shape {got.shape}, the input {x.shape}"
        wrong = np.abs(got - expected) > atol + rtol * np.maximum(np.abs(expected), np.abs(expected).max(initial=0.0))
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            raise AssertionError(
                f"gradient of input {i} (shape {x.shape}) at {at}: "
                f"tape {got[at]:.9g}, finite difference {expected[at]:.9g}"
            )


def _nudged(inputs: tuple[Array, ...], i: int, index: tuple[int, ...], by: float) -> list[Array]:
    moved = [x.copy() for x in inputs]
    moved[i][index] += by
    return moved
