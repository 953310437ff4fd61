"""Solutions of lesson 14's exercises, one of many each."""

from __future__ import annotations

import numpy as np


def expert_share(seen: float, users: float, experts: float) -> float:
    """seen = (1 - share) users + share experts, solved for the share."""
    return float(np.clip((seen - users) / (experts - users), 0.0, 1.0))


def author_posterior(prior: np.ndarray, log_likelihoods: np.ndarray) -> np.ndarray:
    """Products of thousands of probabilities underflow; sums of their logarithms do not. Subtracting the largest first
    leaves at least one exponential at 1."""
    logs = np.log(prior) + log_likelihoods.sum(axis=0)
    p = np.exp(logs - logs.max())
    return p / p.sum()


def stage_gains(golds: np.ndarray) -> np.ndarray:
    """Differences first, within a seed: what a seed does to all its stages cancels."""
    gains = np.diff(golds, axis=1)  # [N, S - 1]
    return np.column_stack([gains.mean(axis=0), gains.std(axis=0, ddof=1) / np.sqrt(len(gains))])


def bits_per_byte(nll: np.ndarray, size: np.ndarray) -> float:
    """A ratio of sums. The mean of ratios gives a token of one byte as much weight as one of ten."""
    return float(nll.sum() / size.sum() / np.log(2))
