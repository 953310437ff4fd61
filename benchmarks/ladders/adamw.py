"""AdamW: from a dozen temporaries to one pass that is as fast as memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.ladders.rungs import Ladder, Rung
from benchmarks.package_kernels import ADAM
from minipost.kernels import adamw
from minipost.kernels.jit import kernel


def in_place(w: Any, g: Any, m: Any, v: Any) -> tuple[Any, Any, Any]:
    step, lr, beta1, beta2, eps, decay = ADAM
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g * g
    root = np.sqrt(v)
    root *= 1 / np.sqrt(1 - beta2**step)
    root += eps
    w *= 1 - lr * decay
    w -= lr / (1 - beta1**step) * m / root
    return w, m, v


@kernel
def in_double(
    w: Any, g: Any, m: Any, v: Any, step: int, lr: float, b1: float, b2: float, eps: float, decay: float
) -> None:
    for i in range(w.shape[0]):
        m[i] = b1 * m[i] + (1 - b1) * g[i]
        v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i]
        m_hat, v_hat = m[i] / (1 - b1**step), v[i] / (1 - b2**step)
        w[i] -= lr * (m_hat / (np.sqrt(v_hat) + eps) + decay * w[i])


@kernel
def in_chunks(
    w: Any, g: Any, m: Any, v: Any, step: int, lr: float, b1: float, b2: float, eps: float, decay: float
) -> None:
    """Four short loops over each 4,096 numbers, which stay in the cache between them."""
    real = w.dtype.type
    beta1, beta2, one, tiny = real(b1), real(b2), real(1), real(eps)
    rate, shrink = real(lr / (1 - b1**step)), real(1 - lr * decay)
    correction = real(1 / np.sqrt(1 - b2**step))
    for lo in range(0, w.shape[0], 4096):
        ws, gs, ms, vs = w[lo : lo + 4096], g[lo : lo + 4096], m[lo : lo + 4096], v[lo : lo + 4096]
        for i in range(ws.shape[0]):
            ms[i] = beta1 * ms[i] + (one - beta1) * gs[i]
        for i in range(ws.shape[0]):
            vs[i] = beta2 * vs[i] + (one - beta2) * gs[i] * gs[i]
        for i in range(ws.shape[0]):
            ws[i] *= shrink
        for i in range(ws.shape[0]):
            ws[i] -= rate * ms[i] / (np.sqrt(vs[i]) * correction + tiny)


def called(function: Any, *more: Any) -> Any:
    def run(w: Any, g: Any, m: Any, v: Any) -> tuple[Any, Any, Any]:
        function(w, g, m, v, *ADAM, *more)
        return w, m, v

    return run


def ladder(n: int) -> Ladder:
    def inputs(rng: np.random.Generator) -> tuple[Any, ...]:
        w, g, m, v = (0.1 * rng.standard_normal(n, np.float32) for _ in range(4))
        return w, g, m, v * v

    return Ladder(
        f"AdamW, {n:,} parameters",
        inputs,
        (
            Rung("NumPy", lambda w, g, m, v: adamw.reference(w, g, m, v, *ADAM), "the formula: a dozen temporaries"),
            Rung("NumPy, in place", in_place, "half of the temporaries, still ten passes over memory"),
            Rung(
                "one pass, constants in float64",
                called(in_double),
                "one double among the factors turns all of the arithmetic to double: half the width, slower roots",
                kept=False,
            ),
            Rung(
                "four loops over chunks in the cache",
                called(in_chunks),
                "the memory traffic of one pass, but loads and stores that one loop has not",
                kept=False,
            ),
            Rung("one pass in float32", called(adamw.update, 1.0), "the package's: seven streams, each touched once"),
        ),
    )
