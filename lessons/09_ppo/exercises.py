"""Exercises of lesson 9. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 9
"""

from __future__ import annotations

import numpy as np


def advantages(
    rewards: np.ndarray, values: np.ndarray, mask: np.ndarray, gamma: float, lam: float
) -> tuple[np.ndarray, np.ndarray]:
    """Generalised advantage estimation: rewards, values, mask [B, T] -> (advantages [B, T], returns [B, T]).

    delta_t = r_t + gamma V_{t+1} - V_t and A_t = delta_t + gamma lam A_{t+1}; returns are A + V. Where the mask is 0
    there may be anything, also NaN, and beyond a row's last counted token nothing is expected.
    """
    raise NotImplementedError


def clipped_loss(
    logp: np.ndarray, old_logp: np.ndarray, advantages: np.ndarray, mask: np.ndarray, clip: float = 0.2
) -> float:
    """PPO's policy loss, the mean over counted tokens of max(-A rho, -A clip(rho, 1 - eps, 1 + eps)). All [B, T].

    Log-ratios may be huge, and masked entries may be NaN. If nothing counts the loss is 0.
    """
    raise NotImplementedError


def whiten(x: np.ndarray, mask: np.ndarray, shift_mean: bool = True) -> np.ndarray:
    """x[B, T] with mean 0 and variance 1 over all counted entries; with shift_mean=False the mean is kept."""
    raise NotImplementedError


def token_rewards(
    scores: np.ndarray, logp: np.ndarray, ref_logp: np.ndarray, mask: np.ndarray, beta: float
) -> np.ndarray:
    """A reward for each token, [B, T]: -beta (log pi - log ref), and the score [B] on the answer's last token.

    This one is written, it trains, and it is wrong.
    """
    counted = np.asarray(mask) != 0
    rewards = -beta * np.where(counted, logp, 0) + beta * np.where(counted, ref_logp, 0)
    rewards[:, -1] += scores
    return rewards
