"""RMSNorm (Zhang and Sennrich 2019, eq. 4): divide each row by its root mean square, then scale each channel.

    y = gain * x / rms(x),   rms(x) = sqrt(mean(x^2) + eps)

N rows, C channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minipost.kernels.jit import inlined


def reference(x: Any, gain: Any, eps: float) -> Any:
    return gain * x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)


@inlined
def forward(x: Any, gain: Any, eps: float, y: Any, inverse_rms: Any) -> None:
    """x[N, C], gain[C] -> y[N, C]; inverse_rms[N] is kept for the backward pass."""
    N, C = x.shape
    for i in range(N):
        row, out = x[i], y[i]
        total = x.dtype.type(0)
        for c in range(C):
            total += row[c] * row[c]
        r = x.dtype.type(1.0 / np.sqrt(total / C + eps))
        inverse_rms[i] = r
        for c in range(C):
            out[c] = gain[c] * row[c] * r


@inlined
def backward(g: Any, x: Any, gain: Any, inverse_rms: Any, dx: Any, dgain: Any) -> None:
    """g[N, C] -> dx[N, C], dgain[C].

    With n = x / rms:  dgain = sum_rows g n,  dx = (g gain - n mean(g gain n)) / rms.
    """
    N, C = x.shape
    dgain[:] = 0
    for i in range(N):
        row, grow, out = x[i], g[i], dx[i]
        r = inverse_rms[i]
        dot = x.dtype.type(0)
        for c in range(C):
            dot += grow[c] * gain[c] * row[c]
        shrink = x.dtype.type(dot * r * r * r / C)
        for c in range(C):
            dgain[c] += grow[c] * row[c] * r
            out[c] = grow[c] * gain[c] * r - row[c] * shrink
