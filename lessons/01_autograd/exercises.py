"""Exercises of lesson 1. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 1
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def softplus_vjp(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The gradient with respect to x[N] of a loss whose gradient with respect to log(1 + exp(x)) is g[N].

    It must not overflow: x may be 1000.
    """
    raise NotImplementedError


def unbroadcast(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """NumPy repeated an array of `shape` until it had the shape of `g`; g is the gradient of the repeated array.

    Return that of the array before it was repeated: of `shape`.
    """
    raise NotImplementedError


def accumulate(parents: Sequence[Sequence[tuple[int, float]]]) -> list[float]:
    """Reverse mode on a graph of numbers: the gradient of the last node with respect to every node.

    Node i was computed from `parents[i]`: pairs (j, slope) with j < i, where slope is the derivative of i with respect
    to j along that edge. The same j may occur twice. Leaves have no parents.
    """
    raise NotImplementedError


def log_softmax_vjp(g: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """The gradient with respect to logits[B, V], when that with respect to log_softmax(logits) is g[B, V].

    This one is written, it trains, and it is wrong.
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    p = np.exp(shifted)
    p /= p.sum(axis=-1, keepdims=True)
    return g - p * g
