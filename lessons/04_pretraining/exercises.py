"""Exercises of lesson 4. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 4
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def cross_entropy(logits: np.ndarray, labels: np.ndarray, mask: np.ndarray, reduction: str = "token") -> np.ndarray:
    """Mean of -log softmax(logits[b, t])[labels[b, t]] where mask[b, t] is 1.

    logits[B, T, V], labels[B, T] (anything where the mask is 0, even -100), mask[B, T] of 0 and 1. With "token" every
    counted token has the same weight; with "sequence" every row that has one, and in it every token. Logits may be
    10,000. Raise ValueError if nothing counts.
    """
    raise NotImplementedError


def pair_model(pairs: np.ndarray) -> np.ndarray:
    """p(b | a) [V, V] from counts of pairs[V, V] (row a, column b), mixed with p(b) as Witten and Bell did.

    p(b) = (n(b) + 1) / (N + V), with n(b) the column's sum; p(b | a) = (n(a, b) + kinds(a) p(b)) / (n(a) + kinds(a)),
    with kinds(a) the number of different tokens seen after a, but at least 1.
    """
    raise NotImplementedError


def dice_nats(throws: Sequence[tuple[int, int]]) -> float:
    """Nats of chance in a list of throws. A throw (n, k) draws k different things out of n, one after the other, in
    order, as `random.sample` does."""
    raise NotImplementedError


def document_starts(tokens: np.ndarray, document_id: int) -> np.ndarray:
    """For tokens[B, T]: the column [B, T] at which the document of each token begins, 0 if that is in an earlier row.

    A row is a window cut out of a long stream: it may begin in the middle of a document. This one is written, models
    train with it, and it is wrong.
    """
    B, T = tokens.shape
    opens = np.where(tokens == document_id, np.arange(T), 0)
    return np.maximum.accumulate(opens.reshape(-1)).reshape(B, T)
