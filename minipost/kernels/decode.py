"""Attention for one new token a sequence, over keys and values kept from earlier steps.

The cache holds, for each of S sequences, rotated keys and values: [S, K, limit, D]. B of them are still being written;
`slots[b]` says which. Finished sequences simply drop out of `slots`: nothing is moved.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minipost.kernels.attention import softmax_row
from minipost.kernels.jit import kernel
from minipost.kernels.rope import rotate_row


@kernel
def attend(
    qkv: Any, slots: Any, positions: Any, keys: Any, values: Any, cos: Any, sin: Any, heads: int, out: Any
) -> None:
    """qkv[B, (H+2K)*D] (q and k are turned in place), slots[B], positions[B] -> out[B, H*D]; the cache grows."""
    B, K, D = qkv.shape[0], keys.shape[1], keys.shape[3]
    group = heads // K
    scale = qkv.dtype.type(1.0 / np.sqrt(D))
    scores = np.empty(keys.shape[2], qkv.dtype)
    for b in range(B):
        row, slot, position = qkv[b], slots[b], positions[b]
        rotate_row(row, cos[position], sin[position], heads + K, 1.0, row)
        for kv in range(K):
            at = (heads + kv) * D
            for d in range(D):
                keys[slot, kv, position, d] = row[at + d]
                values[slot, kv, position, d] = row[at + K * D + d]
            for h in range(kv * group, (kv + 1) * group):
                attend_head(
                    row[h * D : (h + 1) * D], keys[slot, kv, : position + 1], values[slot, kv, : position + 1],
                    scale, scores[: position + 1], out[b, h * D : (h + 1) * D],
                )  # fmt: skip


@kernel
def attend_head(q: Any, k: Any, v: Any, scale: float, scores: Any, out: Any) -> None:
    """q[D], k and v[n, D] -> out[D]."""
    n, D = k.shape
    for j in range(n):
        key = k[j]
        total = q.dtype.type(0)
        for d in range(D):
            total += q[d] * key[d]
        scores[j] = total * scale
    softmax_row(scores, 0, n)
    out[:] = 0
    for j in range(n):
        p, val = scores[j], v[j]
        for d in range(D):
            out[d] += p * val[d]
