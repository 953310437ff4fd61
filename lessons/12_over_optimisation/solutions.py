"""Reference solutions of lesson 12."""

from __future__ import annotations

import numpy as np


def fit_bon(d: np.ndarray, gain: np.ndarray) -> tuple[float, float]:
    """The form is linear in a and b, with the columns d and -d^2."""
    a, b = np.linalg.lstsq(np.stack([d, -(d**2)], axis=1), gain, rcond=None)[0]
    return float(a), float(b)


def peaks(a: float, b: float) -> tuple[float, float]:
    """Where the slopes a - 2 b d and a - b log d - b are 0."""
    return a / (2 * b), float(np.exp(a / b - 1))


def optimum(ref_logps: np.ndarray, rewards: np.ndarray, beta: float) -> np.ndarray:
    """log pi* = log ref + r / beta - log Z, with log Z by logaddexp: exp(r / beta) would overflow."""
    unnormalised = ref_logps + rewards / beta
    return unnormalised - np.logaddexp.reduce(unnormalised)


def penalised_rewards(
    scores: np.ndarray, logp: np.ndarray, ref_logp: np.ndarray, mask: np.ndarray, beta: float
) -> np.ndarray:
    """The log-ratio keeps its sign: its mean is the KL only because samples below the reference count, too."""
    counted = np.asarray(mask) != 0
    log_ratio = np.where(counted, logp, 0.0) - np.where(counted, ref_logp, 0.0)
    rewards = -beta * log_ratio
    rows = np.flatnonzero(counted.any(axis=1))
    last = counted.shape[1] - 1 - np.argmax(counted[:, ::-1], axis=1)
    rewards[rows, last[rows]] += scores[rows]
    return rewards
