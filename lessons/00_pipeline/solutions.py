"""Solutions of lesson 0's exercises, one of many each."""

from __future__ import annotations

import numpy as np


def win_rate(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Two comparisons, of which a tie satisfies half."""
    return float(np.mean((ours > theirs) + 0.5 * (ours == theirs)))


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """`ddof=1` divides by N - 1."""
    mean, reach = float(np.mean(values)), 1.96 * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean, mean - reach, mean + reach


def best_of_n(proxy: np.ndarray, gold: np.ndarray) -> float:
    """Pick by one, judge by the other."""
    picked = np.argmax(proxy, axis=1)  # [P]
    return float(gold[np.arange(len(gold)), picked].mean())


def kl_to_reference(logps: np.ndarray, reference_logps: np.ndarray, mask: np.ndarray) -> float:
    """Sum over a response's tokens, mean over responses; what stands in the padding is nobody's."""
    per_token = np.where(mask, logps - reference_logps, 0.0)  # [S, R]
    return float(per_token.sum(axis=1).mean())
