"""Reference solutions of lesson 8."""

from __future__ import annotations

from math import comb

import numpy as np


def pick_pmf(probs: np.ndarray, scores: np.ndarray, n: int) -> np.ndarray:
    """All n draws score at most s with probability F(s)^n; within a tie the pick is distributed as the draws are."""
    out = np.empty(len(probs))
    for i, score in enumerate(scores):
        tied, below = probs[scores == score].sum(), probs[scores < score].sum()
        out[i] = probs[i] / tied * ((below + tied) ** n - below**n)
    return out


def pick_kl(probs: np.ndarray, picked: np.ndarray) -> float:
    """0 log 0 = 0: outcomes that are never picked are left out before the logarithm."""
    some = picked > 0
    return float(np.sum(picked[some] * np.log(picked[some] / probs[some])))


def pass_at_k(samples: int, right: int, k: int) -> float:
    """1 - C(samples - right, k) / C(samples, k): Python's integers do not overflow, and their quotient is exact."""
    return 1 - comb(samples - right, k) / comb(samples, k)


def best_of_n_curve(proxy: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Sets of n *different* samples: the next one is below, too, with probability (below - n) / (N - n)."""
    N = len(proxy)
    _, group, size = np.unique(proxy, return_inverse=True, return_counts=True)
    mean_gold = np.bincount(group, weights=gold) / size
    below = np.concatenate([[0], np.cumsum(size)])
    all_below, out = np.ones(len(below)), np.empty(N)
    for n in range(N):
        all_below *= np.maximum(below - n, 0) / (N - n)
        out[n] = mean_gold @ np.diff(all_below)
    return out
