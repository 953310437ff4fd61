"""RMSNorm, forward and backward: from NumPy's temporaries to two sliced loops over each row."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.ladders.rungs import Ladder, Rung
from benchmarks.package_kernels import EPS, norm_both, norm_both_reference, normal
from minipost.kernels.jit import kernel


@kernel
def indexed_forward(x: Any, gain: Any, eps: float, y: Any, inverse_rms: Any) -> None:
    N, C = x.shape
    for i in range(N):
        total = x.dtype.type(0)
        for c in range(C):
            total += x[i, c] * x[i, c]
        r = x.dtype.type(1.0 / np.sqrt(total / C + eps))
        inverse_rms[i] = r
        for c in range(C):
            y[i, c] = gain[c] * x[i, c] * r


@kernel
def indexed_backward(g: Any, x: Any, gain: Any, inverse_rms: Any, dx: Any, dgain: Any) -> None:
    N, C = x.shape
    dgain[:] = 0
    for i in range(N):
        r, dot = inverse_rms[i], x.dtype.type(0)
        for c in range(C):
            dot += g[i, c] * gain[c] * x[i, c]
        shrink = x.dtype.type(dot * r * r * r / C)
        for c in range(C):
            dgain[c] += g[i, c] * x[i, c] * r
            dx[i, c] = g[i, c] * gain[c] * r - x[i, c] * shrink


def indexed(x: Any, gain: Any, g: Any) -> tuple[Any, Any]:
    y, inverse, dx, dgain = np.empty_like(x), np.empty(len(x), x.dtype), np.empty_like(x), np.empty_like(gain)
    indexed_forward(x, gain, EPS, y, inverse)
    indexed_backward(g, x, gain, inverse, dx, dgain)
    return dx, dgain


@kernel
def by_expressions(x: Any, gain: Any, g: Any, eps: float, dx: Any, dgain: Any) -> None:
    dgain[:] = 0
    for i in range(x.shape[0]):
        n = x[i] / x.dtype.type(np.sqrt(np.mean(x[i] * x[i]) + eps))
        r = x.dtype.type(1.0 / np.sqrt(np.mean(x[i] * x[i]) + eps))
        dgain += g[i] * n
        dx[i] = (g[i] * gain - n * x.dtype.type(np.mean(g[i] * gain * n))) * r


@kernel
def by_channel(x: Any, gain: Any, g: Any, eps: float, dx: Any, dgain: Any) -> None:
    """The gain's gradient channel by channel, in float64, as a textbook would sum it."""
    N, C = x.shape
    inverse = np.empty(N, x.dtype)
    for i in range(N):
        row, grow, out = x[i], g[i], dx[i]
        total, dot = x.dtype.type(0), x.dtype.type(0)
        for c in range(C):
            total += row[c] * row[c]
            dot += grow[c] * gain[c] * row[c]
        r = x.dtype.type(1.0 / np.sqrt(total / C + eps))
        inverse[i] = r
        shrink = x.dtype.type(dot * r * r * r / C)
        for c in range(C):
            out[c] = grow[c] * gain[c] * r - row[c] * shrink
    for c in range(C):
        total = 0.0
        for i in range(N):
            total += g[i, c] * x[i, c] * inverse[i]
        dgain[c] = total


def called(function: Any) -> Any:
    """`function` with room for its results."""

    def run(x: Any, gain: Any, g: Any) -> tuple[Any, Any]:
        dx, dgain = np.empty_like(x), np.empty_like(gain)
        function(x, gain, g, EPS, dx, dgain)
        return dx, dgain

    return run


def ladder(N: int, C: int) -> Ladder:
    return Ladder(
        f"RMSNorm forward + backward, {N} x {C}",
        normal((N, C), (C,), (N, C)),
        (
            Rung("NumPy", norm_both_reference, "the formula: a dozen passes over temporaries of the size of x"),
            Rung(
                "compiled array expressions",
                called(by_expressions),
                "fewer passes, but each expression makes a new small array for every row",
                kept=False,
            ),
            Rung(
                "the gain's gradient by columns",
                called(by_channel),
                "walks down x with a stride of a row: a cache line for each number",
                kept=False,
            ),
            Rung("loops with x[i, c]", indexed, "two passes over a row that stays in the first cache"),
            Rung(
                "loops over sliced rows",
                norm_both,
                "the package's: rows sliced before their loops, which this compiler no longer rewards",
            ),
        ),
    )
