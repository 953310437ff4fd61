"""Best-of-n without sampling n: what the pick is distributed like, what it earns, how far it is from the base.

Draw n responses, keep the one that a proxy reward likes most. If `F(s)` is the base's probability of a score up to s,
the pick's score is at most s with probability `F(s)^n`: all n must be. Everything here follows from that line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def best_of_n_estimate(proxy: Array, gold: Array) -> Floats:
    """Unbiased estimates of the gold reward of best-of-n for every n <= N from the same N samples -> [N].

    Entry n-1 is the mean over all n-subsets of the gold reward of the subset's best by `proxy`. With samples sorted by
    proxy, sample i (from 1) is the best of `C(i-1, n-1)` of the `C(N, n)` subsets (Nakano 2021, appendix I):

        R(n) = sum_{i=n..N} C(i-1, n-1) / C(N, n) gold_(i)

    `proxy[N]`, `gold[N]`. Samples with equal proxy share their mean gold: the expectation of breaking ties at random.
    The weights are never built from factorials: going from n to n+1 multiplies each by
    `(i-n)/(N-n) (n+1)/n`, all positive factors, so N = 10,000 loses no digits. Laws P72-P74, P77-P79.

    >>> best_of_n_estimate(np.array([0.1, 0.9, 0.5]), np.array([1.0, 3.0, 5.0]))     # (5 + 3 + 3) / 3 for n = 2
    array([3.        , 3.66666667, 3.        ])
    """
    if np.ndim(proxy) != 1 or np.shape(proxy) != np.shape(gold) or not np.size(proxy):
        raise ValueError(
            f"best_of_n_estimate: proxy and gold are one number a sample, at least one; "
            f"got shapes {np.shape(proxy)} and {np.shape(gold)}."
        )
    N = len(proxy)
    _, group, size = np.unique(proxy, return_inverse=True, return_counts=True)
    mean_gold = np.bincount(group, weights=gold) / size
    ranked = mean_gold[np.sort(group)]
    estimate = np.empty(N)
    weights = np.full(N, 1 / N)  # n = 1: every sample is the best of its own subset
    for n in range(1, N + 1):
        estimate[n - 1] = weights @ ranked[n - 1 :]
        if n < N:
            weights = weights[1:] * (np.arange(1, N - n + 1) * ((n + 1) / n / (N - n)))
    return estimate


def best_of_n_log_ratio(probs: Array, scores: Array, n: int) -> Floats:
    """`log(q_i / p_i)`: how much more (in nats) best-of-n picks outcome i than the base does -> [M].

    `probs[M]` is the base distribution over M outcomes (it is normalised here), `scores[M]` ranks them. Outcomes with
    equal scores share a ratio: with ties broken at random, the pick among them is distributed as the base is. With
    `g` the mass of i's tie group, `q/p = (F^n - (F - g)^n) / g`, taken in logs: F^n underflows for the worst outcomes
    and `F^n - (F - g)^n` cancels for small atoms. Outcomes of mass 0 get 0.
    """
    _check_n("best_of_n_log_ratio", n)
    p = np.asarray(probs, np.float64)
    _, group = np.unique(scores, return_inverse=True)
    mass = np.bincount(group, weights=p / p.sum())
    F = np.cumsum(mass)
    with np.errstate(divide="ignore", invalid="ignore"):  # the lowest group: log1p(-1); groups of mass 0: 0 / 0
        someone_in_group = -np.expm1(n * np.log1p(-mass / F))
        log_ratio = n * np.log(F / F[-1]) + np.log(someone_in_group) - np.log(mass)
    return np.asarray(np.where(mass > 0, log_ratio, 0.0)[group], np.float64)


def best_of_n_pmf(probs: Array, scores: Array, n: int) -> Floats:
    """The exact distribution of best-of-n's pick, `q_i = F(i)^n - F(i-)^n` where no scores tie -> [M].

    Arguments as in `best_of_n_log_ratio`; `sum(q * log_ratio)` is the exact KL(best-of-n || base). Laws P75, P76, P78.

    >>> best_of_n_pmf(np.array([0.5, 0.5]), np.array([0.0, 1.0]), n=3)
    array([0.125, 0.875])
    """
    p = np.asarray(probs, np.float64)
    return np.asarray(p / p.sum() * np.exp(best_of_n_log_ratio(p, scores, n)), np.float64)


def best_of_n_kl_bound(n: int) -> float:
    """`log n - (n-1)/n`, an upper bound of KL(best-of-n || base) in nats (Beirami 2024).

    Often quoted as an equality; it is one only in the limit of many outcomes of small probability. Law P75.
    """
    _check_n("best_of_n_kl_bound", n)
    return float(np.log(n) - (n - 1) / n)


def _check_n(name: str, n: int) -> None:
    if n < 1:
        raise ValueError(f"{name}: n is the number of draws, at least 1; got {n}.")
