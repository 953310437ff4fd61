"""Exercises of lesson 12. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 12
"""

from __future__ import annotations

import numpy as np


def fit_bon(d: np.ndarray, gain: np.ndarray) -> tuple[float, float]:
    """(a, b) of the form d (a - b d) that is closest to the curve `gain[K]` over `d[K]` by least squares."""
    raise NotImplementedError


def peaks(a: float, b: float) -> tuple[float, float]:
    """The distances at which d (a - b d) and d (a - b log d) are highest, for a > 0 and b > 0."""
    raise NotImplementedError


def optimum(ref_logps: np.ndarray, rewards: np.ndarray, beta: float) -> np.ndarray:
    """The log-probabilities [N] of the policy that maximises E r - beta KL(policy || reference).

    `ref_logps[N]` and `rewards[N]` list all responses to one prompt. It must not overflow: rewards may be 10,000.
    """
    raise NotImplementedError


def penalised_rewards(
    scores: np.ndarray, logp: np.ndarray, ref_logp: np.ndarray, mask: np.ndarray, beta: float
) -> np.ndarray:
    """PPO's reward for each token, [B, T]: the price of KL, and the score [B] on the last token that counts.

    `logp`, `ref_logp`, `mask` are [B, T]; the mask is one run of ones, or none. This one is written, its curves look
    more reasonable than the right one's, and it is wrong.
    """
    counted = np.asarray(mask) != 0
    log_ratio = np.where(counted, logp, 0.0) - np.where(counted, ref_logp, 0.0)
    rewards = -beta * np.maximum(log_ratio, 0.0)
    rows = np.flatnonzero(counted.any(axis=1))
    last = counted.shape[1] - 1 - np.argmax(counted[:, ::-1], axis=1)
    rewards[rows, last[rows]] += scores[rows]
    return rewards
