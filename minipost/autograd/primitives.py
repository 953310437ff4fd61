"""The primitives: seventeen functions and their derivatives, forward beside backward, and the operators of Tensor.

Each takes Tensors, arrays or numbers. If no argument is a Tensor, the result is a plain array and nothing is recorded,
so that the same loss function serves training, evaluation and a NumPy user. `g` is always the gradient of the final
loss with respect to this operation's output; what is returned is that with respect to its inputs. Gradients may come
back in the broadcast shape: `Tensor.backward` sums them down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minipost.autograd.tensor import Array, AutogradError, Tensor, record, value


def add(a: Any, b: Any) -> Any:
    x, y = _pair("add", a, b)
    return record(x + y, (a, b), lambda g: (g, g))


def subtract(a: Any, b: Any) -> Any:
    x, y = _pair("subtract", a, b)
    return record(x - y, (a, b), lambda g: (g, -g))


def multiply(a: Any, b: Any) -> Any:
    x, y = _pair("multiply", a, b)
    return record(x * y, (a, b), lambda g: (g * y, g * x))


def divide(a: Any, b: Any) -> Any:
    x, y = _pair("divide", a, b)
    return record(x / y, (a, b), lambda g: (g / y, -g * x / (y * y)))


def power(a: Any, exponent: float) -> Any:
    """`a ** exponent` for a constant exponent."""
    x = value(a)
    return record(x**exponent, (a,), lambda g: (g * exponent * x ** (exponent - 1),))


def exp(a: Any) -> Any:
    y = np.exp(value(a))
    return record(y, (a,), lambda g: (g * y,))


def log(a: Any) -> Any:
    x = value(a)
    return record(np.log(x), (a,), lambda g: (g / x,))


def tanh(a: Any) -> Any:
    y = np.tanh(value(a))
    return record(y, (a,), lambda g: (g * (1 - y * y),))


def softplus(a: Any) -> Any:
    """`log(1 + exp(a))` without overflow; `-log sigmoid(z)` is `softplus(-z)`. Its derivative is the sigmoid."""
    x = value(a)
    return record(np.logaddexp(0.0, x).astype(_dtype(x)), (a,), lambda g: (g * _sigmoid(x),))


def maximum(a: Any, b: Any) -> Any:
    """Element-wise maximum. Where both are equal each receives half of the gradient."""
    x, y = _pair("maximum", a, b)
    return record(np.maximum(x, y), (a, b), lambda g: (g * _wins(x, y), g * _wins(y, x)))


def where(condition: Any, a: Any, b: Any) -> Any:
    """`a` where `condition` holds, else `b`. The branch not taken receives exactly 0, also where it is NaN or inf."""
    c = np.asarray(value(condition), dtype=bool)
    x, y = _pair("where", a, b)
    out = np.where(c, x, y)
    return record(out, (a, b), lambda g: (np.where(c, g, 0).astype(g.dtype), np.where(c, 0, g).astype(g.dtype)))


def matmul(a: Any, b: Any) -> Any:
    """Matrix product of `a[..., n, k]` and `b[..., k, m]`, leading axes broadcast; a vector is one row or column."""
    x, y = np.asarray(value(a)), np.asarray(value(b))
    if x.ndim == 1:
        return reshape(matmul(reshape(a, 1, x.size), b), *np.shape(y)[:-2], *np.shape(y)[-1:][: y.ndim - 1])
    if y.ndim == 1:
        return reshape(matmul(a, reshape(b, y.size, 1)), *x.shape[:-1])
    if x.ndim == 0 or y.ndim == 0 or x.shape[-1] != y.shape[-2]:
        raise AutogradError(f"matmul of shapes {x.shape} and {y.shape}: the inner axes must match.")
    return record(x @ y, (a, b), lambda g: (g @ y.swapaxes(-1, -2), x.swapaxes(-1, -2) @ g))


def sum(a: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
    x = np.asarray(value(a))
    kept = np.sum(x, axis=axis, keepdims=True).shape

    def vjp(g: Array) -> tuple[Array]:
        return (np.broadcast_to(g.reshape(kept), x.shape),)

    vjp.__qualname__ = "sum"
    return record(np.sum(x, axis=axis, keepdims=keepdims), (a,), vjp)


def reshape(a: Any, *shape: Any) -> Any:
    x = np.asarray(value(a))
    target = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
    try:
        out = x.reshape(target)
    except ValueError:
        raise AutogradError(f"reshape of {x.shape} ({x.size} elements) to {target} does not fit.") from None
    return record(out, (a,), lambda g: (g.reshape(x.shape),))


def transpose(a: Any, *axes: int) -> Any:
    x = np.asarray(value(a))
    order = axes or tuple(reversed(range(x.ndim)))
    return record(x.transpose(order), (a,), lambda g: (g.transpose(np.argsort(order)),))


def take(a: Any, index: Any) -> Any:
    """`a[index]` for anything that NumPy takes as an index; an element taken twice receives the sum."""
    x = value(a)

    def vjp(g: Array) -> tuple[Array]:
        out = np.zeros_like(x)
        np.add.at(out, index, g)
        return (out,)

    vjp.__qualname__ = "take"
    return record(x[index], (a,), vjp)


def concatenate(parts: Sequence[Any], axis: int = 0) -> Any:
    arrays = [np.asarray(value(p)) for p in parts]
    edges = np.cumsum([x.shape[axis] for x in arrays])[:-1]
    return record(np.concatenate(arrays, axis), tuple(parts), lambda g: tuple(np.split(g, edges, axis)))


# ------------------------------------------------------------------ composed: their derivatives follow from the above
def mean(a: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
    """The mean over `axis`, of everything by default; 0 where there is nothing, as `losses.aggregate` has it."""
    total = sum(a, axis, keepdims)
    return multiply(total, np.size(value(total)) / max(1, np.size(value(a))))


def stack(parts: Sequence[Any], axis: int = 0) -> Any:
    return concatenate([take(p, (slice(None),) * axis + (None,)) for p in parts], axis)


def sqrt(a: Any) -> Any:
    return power(a, 0.5)


def minimum(a: Any, b: Any) -> Any:
    return multiply(maximum(multiply(a, -1.0), multiply(b, -1.0)), -1.0)


def clip(a: Any, low: Any, high: Any) -> Any:
    """`a` held within [low, high]; outside the gradient is 0."""
    return minimum(maximum(a, low), high)


def relu(a: Any) -> Any:
    return where(value(a) > 0, a, 0.0)


def sigmoid(a: Any) -> Any:
    """`1 / (1 + exp(-a))` written with tanh, which cannot overflow. For a log-sigmoid use `softplus`."""
    return multiply(add(tanh(multiply(a, 0.5)), 1.0), 0.5)


def log_softmax(a: Any, axis: int = -1) -> Any:
    """Log-probabilities along `axis`. Shifting by the maximum is a constant: the result does not depend on it."""
    shifted = subtract(a, np.max(value(a), axis=axis, keepdims=True))
    return subtract(shifted, log(sum(exp(shifted), axis, keepdims=True)))


# ---------------------------------------------------------------------------- what `a + b` means if one is a Tensor
Tensor.__add__ = Tensor.__radd__ = add
Tensor.__sub__, Tensor.__rsub__ = subtract, lambda a, b: subtract(b, a)
Tensor.__mul__ = Tensor.__rmul__ = multiply
Tensor.__truediv__, Tensor.__rtruediv__ = divide, lambda a, b: divide(b, a)
Tensor.__matmul__, Tensor.__rmatmul__ = matmul, lambda a, b: matmul(b, a)
Tensor.__neg__ = lambda a: multiply(a, -1.0)
Tensor.__pow__, Tensor.__getitem__ = power, take
Tensor.sum, Tensor.mean, Tensor.reshape, Tensor.transpose = sum, mean, reshape, transpose


# ------------------------------------------------------------------------------------------------------------- helpers
def _pair(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    """Both values, refused with a sentence if their shapes do not broadcast or one is not a number array."""
    x, y = value(a), value(b)
    for v in (x, y):
        if np.asarray(v).dtype == object:
            raise AutogradError(f"{name} needs numbers, got {type(v).__name__} with object elements.")
    try:
        np.broadcast_shapes(np.shape(x), np.shape(y))
    except ValueError:
        raise AutogradError(f"{name} of shapes {np.shape(x)} and {np.shape(y)}: they do not broadcast.") from None
    return x, y


def _dtype(x: Any) -> Any:
    return np.result_type(x, np.float32) if isinstance(x, np.ndarray) else np.float64


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def _wins(x: Any, y: Any) -> Any:
    return (np.greater(x, y) + 0.5 * np.equal(x, y)).astype(_dtype(np.asarray(x)))


__all__ = [
    "Tensor",
    "add",
    "clip",
    "concatenate",
    "divide",
    "exp",
    "log",
    "log_softmax",
    "matmul",
    "maximum",
    "mean",
    "minimum",
    "multiply",
    "power",
    "relu",
    "reshape",
    "sigmoid",
    "softplus",
    "sqrt",
    "stack",
    "subtract",
    "sum",
    "take",
    "tanh",
    "transpose",
    "where",
]
