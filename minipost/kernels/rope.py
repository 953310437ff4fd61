"""Rotary position embedding (Su et al. 2021, eq. 34): position as an angle.

Channels d and d + D/2 of each head form a plane (the half-split layout of Llama checkpoints), which turns by
`position * base^(-2d/D)`. The dot product of a query at position i and a key at j then depends on i - j only. The
derivative of a rotation is the rotation back: `sign=-1`.

N tokens, H heads, D channels a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minipost.kernels.jit import inlined


def table(
    positions: int, head_dim: int, base: float, dtype: Any = np.float32, rescale: Callable[[Any], Any] | None = None
) -> tuple[Any, Any]:
    """cos and sin, each [positions, D/2]. `rescale` changes the frequencies [D/2] of models with stretched contexts."""
    frequency = base ** (-np.arange(0, head_dim, 2) / head_dim)  # [D/2]
    if rescale is not None:
        frequency = rescale(frequency)
    angle = np.arange(positions)[:, None] * frequency  # [positions, D/2]
    return np.cos(angle).astype(dtype), np.sin(angle).astype(dtype)


def reference(x: Any, positions: Any, cos: Any, sin: Any) -> Any:
    """x[N, H, D], positions[N] -> [N, H, D]."""
    c, s = cos[positions][:, None], sin[positions][:, None]  # [N, 1, D/2]
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * c - b * s, b * c + a * s], axis=-1)


@inlined
def rotate_row(row: Any, cos: Any, sin: Any, heads: int, sign: float, out: Any) -> None:
    """One token: row[H * D] -> out[H * D], cos and sin [D/2] of its position. `out` may be `row`."""
    half = cos.shape[0]
    s = row.dtype.type(sign)
    for h in range(heads):
        a, b = row[2 * h * half : (2 * h + 1) * half], row[(2 * h + 1) * half : (2 * h + 2) * half]
        oa, ob = out[2 * h * half : (2 * h + 1) * half], out[(2 * h + 1) * half : (2 * h + 2) * half]
        for d in range(half):
            first, second, turn = a[d], b[d], s * sin[d]
            oa[d] = first * cos[d] - second * turn
            ob[d] = second * cos[d] + first * turn


@inlined
def rotate(x: Any, positions: Any, cos: Any, sin: Any, heads: int, sign: float, out: Any) -> None:
    """x[N, >= H * D] -> out[N, >= H * D]: turn the first `heads` heads of every row by its position."""
    for i in range(x.shape[0]):
        rotate_row(x[i], cos[positions[i]], sin[positions[i]], heads, sign, out[i])
