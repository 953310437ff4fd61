"""AdamW (Loshchilov and Hutter 2019, algorithm 2) over flat arrays, and the global gradient norm.

One pass reads and writes each parameter once, where composed NumPy would make a dozen temporaries.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minipost.kernels.jit import kernel


def reference(
    w: Any, g: Any, m: Any, v: Any, step: int, lr: float, beta1: float, beta2: float, eps: float, decay: float
) -> tuple[Any, Any, Any]:
    """New (w, m, v) after update number `step` (from 1)."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return w - lr * (m_hat / (np.sqrt(v_hat) + eps) + decay * w), m, v


@kernel
def update(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    decay: float,
    scale: float,
) -> None:
    """In place on w, m, v[n]; `scale` multiplies the gradient first (clipping)."""
    real = w.dtype.type
    b1, b2, one = real(beta1), real(beta2), real(1)
    rate, shrink = real(lr / (1 - beta1**step)), real(1 - lr * decay)
    correction, tiny, factor = real(1 / np.sqrt(1 - beta2**step)), real(eps), real(scale)
    for i in range(w.shape[0]):
        gi = g[i] * factor
        m[i] = b1 * m[i] + (one - b1) * gi
        v[i] = b2 * v[i] + (one - b2) * gi * gi
        w[i] = w[i] * shrink - rate * m[i] / (np.sqrt(v[i]) * correction + tiny)


@kernel
def sum_of_squares(x: Any) -> float:
    """sum(x^2), each block of 1024 in x's precision, the blocks in float64."""
    total = 0.0
    for lo in range(0, x.shape[0], 1024):
        block = x[lo : lo + 1024]
        part = x.dtype.type(0)
        for i in range(block.shape[0]):
            part += block[i] * block[i]
        total += part
    return total
