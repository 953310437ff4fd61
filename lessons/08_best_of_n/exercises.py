"""Exercises of lesson 8. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 8
"""

from __future__ import annotations

import numpy as np


def pick_pmf(probs: np.ndarray, scores: np.ndarray, n: int) -> np.ndarray:
    """The distribution [M] of the best of n draws from `probs[M]` by `scores[M]`; ties are broken at random.

    Outcomes come in any order, and several may have the same score.
    """
    raise NotImplementedError


def pick_kl(probs: np.ndarray, picked: np.ndarray) -> float:
    """KL(picked || probs) in nats, for two distributions [M]. An outcome that is never picked adds nothing."""
    raise NotImplementedError


def pass_at_k(samples: int, right: int, k: int) -> float:
    """The chance that a random set of `k` of the `samples` contains one of the `right` ones.

    It must not overflow: there may be 10,000 samples.
    """
    raise NotImplementedError


def best_of_n_curve(proxy: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """The expected gold of the best by `proxy[N]` of n of these N samples, for n = 1 to N -> [N].

    This one is written, its curve looks right, and it is biased.
    """
    N = len(proxy)
    _, group, size = np.unique(proxy, return_inverse=True, return_counts=True)
    mean_gold = np.bincount(group, weights=gold) / size  # samples with equal proxy share their gold
    below = np.concatenate([[0], np.cumsum(size)]) / N  # the share of samples below each level of the proxy
    all_below, out = np.ones(len(below)), np.empty(N)
    for n in range(N):
        all_below *= below  # that all n + 1 of them are
        out[n] = mean_gold @ np.diff(all_below)
    return out
