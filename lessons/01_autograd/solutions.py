"""Solutions of lesson 1's exercises, one of many each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def softplus_vjp(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The derivative is the sigmoid, written with tanh, which cannot overflow."""
    return g * 0.5 * (1 + np.tanh(0.5 * x))


def unbroadcast(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An element that was repeated collects what each of its copies received: first along axes that NumPy added in
    front, then along those that it stretched from 1."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return g.sum(axis=stretched, keepdims=True) if stretched else g


def accumulate(parents: Sequence[Sequence[tuple[int, float]]]) -> list[float]:
    """From the last node to the first: when a node's turn comes, all that use it have had theirs."""
    gradients = [0.0] * len(parents)
    gradients[-1] = 1.0
    for i in reversed(range(len(parents))):
        for j, slope in parents[i]:
            gradients[j] += gradients[i] * slope
    return gradients


def log_softmax_vjp(g: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Every output depends on every logit through the normaliser: the row's whole gradient goes back through p."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    p = np.exp(shifted)
    p /= p.sum(axis=-1, keepdims=True)
    return g - p * g.sum(axis=-1, keepdims=True)
