"""Solutions of lesson 9's exercises, one of many each."""

from __future__ import annotations

import numpy as np


def advantages(
    rewards: np.ndarray, values: np.ndarray, mask: np.ndarray, gamma: float, lam: float
) -> tuple[np.ndarray, np.ndarray]:
    """Backwards; what is not counted is stepped over, so that nothing flows through padding."""
    counted = np.asarray(mask) != 0
    r, v = np.where(counted, rewards, 0.0), np.where(counted, values, 0.0)
    A = np.zeros_like(r + v)
    next_A, next_v = np.zeros(len(r)), np.zeros(len(r))
    for t in reversed(range(r.shape[1])):
        here = counted[:, t]
        A[:, t] = np.where(here, r[:, t] + gamma * next_v - v[:, t] + gamma * lam * next_A, 0.0)
        next_A, next_v = np.where(here, A[:, t], next_A), np.where(here, v[:, t], next_v)
    return A, A + v


def clipped_loss(
    logp: np.ndarray, old_logp: np.ndarray, advantages: np.ndarray, mask: np.ndarray, clip: float = 0.2
) -> float:
    """Hide first, clip in logs, then take exp: the maximum is -A min(rho, 1 + eps) or -A max(rho, 1 - eps)."""
    counted = np.asarray(mask) != 0
    A = np.where(counted, advantages, 0.0)
    log_rho = np.where(counted, logp, 0.0) - np.where(counted, old_logp, 0.0)
    ceiling, floor = np.log1p(clip), np.log1p(-clip) if clip < 1 else -np.inf
    log_rho = np.where(A > 0, np.minimum(log_rho, ceiling), np.maximum(log_rho, floor))
    return -np.sum(A * np.exp(np.where(A == 0, 0.0, log_rho))) / max(counted.sum(), 1)


def whiten(x: np.ndarray, mask: np.ndarray, shift_mean: bool = True) -> np.ndarray:
    """Statistics of the counted entries, in float64; a tiny epsilon for entries that are all equal."""
    counted = np.asarray(mask) != 0
    clean = np.where(counted, x, 0.0).astype(np.float64)
    count = max(counted.sum(), 1)
    mean = clean.sum() / count
    away = np.where(counted, clean - mean, 0.0)
    white = away / (np.sqrt((away**2).sum() / count) + 1e-8)
    return white if shift_mean else np.where(counted, white + mean, 0.0)


def token_rewards(
    scores: np.ndarray, logp: np.ndarray, ref_logp: np.ndarray, mask: np.ndarray, beta: float
) -> np.ndarray:
    """The score belongs to the last token that counts, which is the last column only for the longest answers."""
    counted = np.asarray(mask) != 0
    rewards = -beta * np.where(counted, logp, 0) + beta * np.where(counted, ref_logp, 0)
    rows = np.flatnonzero(counted.any(axis=1))
    last = counted.shape[1] - 1 - np.argmax(counted[:, ::-1], axis=1)
    rewards[rows, last[rows]] += np.asarray(scores)[rows]
    return rewards
