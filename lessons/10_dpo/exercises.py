"""Exercises of lesson 10. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 10
"""

from __future__ import annotations

import numpy as np


def best_policy(ref_logps: np.ndarray, rewards: np.ndarray, beta: float) -> np.ndarray:
    """The log-probabilities [N] of the policy that maximises E r - beta KL(pi || ref), for N responses to one prompt.

    `ref_logps[N]` are normalised, `rewards[N]` may be hundreds of times as large as beta.
    """
    raise NotImplementedError


def dpo_loss(
    policy_chosen: np.ndarray,
    policy_rejected: np.ndarray,
    ref_chosen: np.ndarray,
    ref_rejected: np.ndarray,
    beta: float,
    label_smoothing: float = 0.0,
) -> float:
    """DPO's loss, a mean over B pairs of log-probabilities [B]; with label smoothing e its conservative form."""
    raise NotImplementedError


def ipo_loss(
    policy_chosen: np.ndarray,
    policy_rejected: np.ndarray,
    ref_chosen: np.ndarray,
    ref_rejected: np.ndarray,
    beta: float,
) -> float:
    """IPO's loss, a mean over B pairs: the square of what h is away from 1 / (2 beta)."""
    raise NotImplementedError


def sequence_logps(logits: np.ndarray, tokens: np.ndarray, response_mask: np.ndarray) -> np.ndarray:
    """log pi(response | prompt), [B], from logits [B, T, V], tokens [B, T] and a mask [B, T] of the response's tokens.

    Position t of the logits predicts token t + 1. This one is written, it trains, and it is wrong.
    """
    logps = logits - np.logaddexp.reduce(logits, axis=-1)[..., None]
    labels, counted = tokens[:, 1:], np.asarray(response_mask)[:, :-1] != 0
    picked = np.take_along_axis(logps[:, :-1], labels[..., None].astype(int), axis=-1)[..., 0]
    return np.where(counted, picked, 0).sum(axis=1)
