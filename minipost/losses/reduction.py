"""How numbers per token become one loss: the named ways to average, and the one place that hides masked entries.

Averages differ in who gets the same vote. For two responses of 2 and 8 tokens:

    "token"      every token 1/10                long responses weigh more
    "sequence"   every token of the first 1/4, of the second 1/16: every response the same
    "constant"   every token 1/(2 length)        as "token", but not depending on the batch (Dr. GRPO, Liu 2025)
    "sum"        every token 1                   for a caller who divides by the count of a larger window
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from minipost.autograd import Array, Tensor, value, where

TensorLike: TypeAlias = Tensor | Array
Reduction: TypeAlias = Literal["token", "sequence", "constant", "sum"]


def as_mask(mask: Any) -> npt.NDArray[np.bool_]:
    """A mask of 0/1 in any dtype as booleans, same shape."""
    return np.asarray(np.asarray(value(mask)) != 0, np.bool_)


def hide(x: Any, mask: Any) -> Any:
    """`x` with 0 at uncounted positions, same shape.

    Multiplying by the mask would not do: `0 * NaN` is NaN, forward and backward. So losses hide *before* they compute.
    """
    return where(as_mask(mask), x, 0.0)


def aggregate(x: Any, mask: Any, reduction: Reduction = "token", length: int | None = None) -> Any:
    """One number from `x[B, T]` over the counted entries of `mask[B, T]`; 0 if nothing is counted.

    "token" is the mean over all counted entries. "sequence" is the mean, over rows that have a counted entry, of their
    means: an empty row is left out. "constant" divides by `B * length`. "sum" does not divide. Laws P8, P9.
    """
    counted = as_mask(mask)
    x = hide(x, counted)
    if reduction == "sum":
        return x.sum()
    if reduction == "token":
        return x.sum() / max(int(counted.sum()), 1)
    if reduction == "constant":
        if length is None or length < 1:
            raise ValueError(f'aggregate: reduction="constant" divides by a length of at least 1, got length={length}.')
        return x.sum() / (len(counted) * length)
    if reduction == "sequence":
        tokens = counted.sum(axis=1)
        share = 1.0 / (np.maximum(tokens, 1) * max(int((tokens > 0).sum()), 1))  # of one token of each row
        return (x.sum(axis=1) * share.astype(value(x).dtype)).sum()
    raise ValueError(f'aggregate: reduction is "token", "sequence", "constant" or "sum", not {reduction!r}.')
