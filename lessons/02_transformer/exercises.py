"""Exercises of lesson 2. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 2
"""

from __future__ import annotations

import numpy as np


def visible(start: np.ndarray) -> np.ndarray:
    """Which tokens of a row may look at which: start[T] -> booleans [T, T], row i for the token that looks.

    Token i sees itself and what came before it, back to `start[i]`, the first token of its document.
    """
    raise NotImplementedError


def rotate(x: np.ndarray, position: int, base: float = 10000.0) -> np.ndarray:
    """RoPE for one head: x[D] turned by its position, D even.

    Channels d and d + D/2 are a plane; it turns by `position * base ** (-2 * d / D)`.
    """
    raise NotImplementedError


def merge(out_a: np.ndarray, lse_a: float, out_b: np.ndarray, lse_b: float) -> tuple[np.ndarray, float]:
    """One query's attention over the keys of block a and block b together.

    Of each block you have what the query got from it alone, out[D], and lse = log(sum(exp(scores))). Return the same
    two for all keys. Scores may be 1000: do not overflow.
    """
    raise NotImplementedError


def cached_answer(q: np.ndarray, k: np.ndarray, v: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Attention for one new token: q, k, v [D] of that token, not yet turned; keys and values [n, D] of the n tokens
    before it, the keys turned already. Returns [D].

    This one is written, it speaks fluently, and it is wrong.
    """
    keys, values = np.vstack([keys, turned(k, len(keys))]), np.vstack([values, v])
    scores = keys @ turned(q, len(keys)) / np.sqrt(len(q))  # [n + 1]
    p = np.exp(scores - scores.max())
    return p / p.sum() @ values


def turned(x: np.ndarray, position: int, base: float = 10000.0) -> np.ndarray:
    """x[D] at a position. (This one is right.)"""
    angle = position * base ** (-2 * np.arange(len(x) // 2) / len(x))
    plane = np.exp(1j * angle) * (x[: len(x) // 2] + 1j * x[len(x) // 2 :])
    return np.concatenate([plane.real, plane.imag])
