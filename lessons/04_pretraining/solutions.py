"""Solutions of lesson 4's exercises."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def cross_entropy(logits: np.ndarray, labels: np.ndarray, mask: np.ndarray, reduction: str = "token") -> np.ndarray:
    """The largest logit is taken out first, so that no exponential overflows; masked labels are replaced before they
    index anything."""
    counted = mask != 0
    if not counted.any():
        raise ValueError("no label counts")
    shifted = logits - logits.max(axis=-1, keepdims=True)  # [B, T, V]
    logp = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    picked = np.take_along_axis(logp, np.where(counted, labels, 0)[..., None], axis=-1)[..., 0]  # [B, T]
    losses = np.where(counted, -picked, 0.0)
    if reduction == "token":
        return losses.sum() / counted.sum()
    rows = counted.any(axis=1)
    return (losses.sum(axis=1)[rows] / counted.sum(axis=1)[rows]).mean()


def pair_model(pairs: np.ndarray) -> np.ndarray:
    """Rows sum to 1, because the two parts of the numerator sum to n(a) and to kinds(a)."""
    single = pairs.sum(axis=0) + 1.0
    single = single / single.sum()  # [V]
    kinds = np.maximum((pairs > 0).sum(axis=1, keepdims=True), 1)  # [V, 1]
    return (pairs + kinds * single) / (pairs.sum(axis=1, keepdims=True) + kinds)


def dice_nats(throws: Sequence[tuple[int, int]]) -> float:
    """The second of k things is drawn out of n - 1, the third out of n - 2: the costs add up."""
    return sum(math.log(n - i) for n, k in throws for i in range(k))


def document_starts(tokens: np.ndarray, document_id: int) -> np.ndarray:
    """Along each row by itself: a row knows nothing of the row above it."""
    opens = np.where(tokens == document_id, np.arange(tokens.shape[1]), 0)
    return np.maximum.accumulate(opens, axis=1)
