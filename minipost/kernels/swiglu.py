"""SwiGLU (Shazeer 2020, eq. 6): a gate that the input opens for itself.

    y = silu(gate) * up,   silu(z) = z sigmoid(z)

Gate and up come side by side out of one matrix product: `gate_up[N, 2F]` -> `y[N, F]`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minipost.kernels.jit import exp, inlined


def reference(gate_up: Any) -> Any:
    gate, up = np.split(gate_up, 2, axis=-1)
    return gate / (1 + np.exp(-gate)) * up


@inlined
def forward(gate_up: Any, y: Any) -> None:
    """gate_up[N, 2F] -> y[N, F]."""
    N, F = y.shape
    one = y.dtype.type(1)
    for i in range(N):
        gate, up, out = gate_up[i, :F], gate_up[i, F:], y[i]
        for f in range(F):
            out[f] = gate[f] / (one + exp(-gate[f])) * up[f]


@inlined
def backward(g: Any, gate_up: Any, dgate_up: Any) -> None:
    """g[N, F] -> dgate_up[N, 2F]; with s = sigmoid(gate): silu' = s (1 + gate (1 - s))."""
    N, F = g.shape
    one = g.dtype.type(1)
    for i in range(N):
        gate, up, grow = gate_up[i, :F], gate_up[i, F:], g[i]
        dgate, dup = dgate_up[i, :F], dgate_up[i, F:]
        for f in range(F):
            s = one / (one + exp(-gate[f]))
            dup[f] = grow[f] * gate[f] * s
            dgate[f] = grow[f] * up[f] * s * (one + gate[f] * (one - s))
