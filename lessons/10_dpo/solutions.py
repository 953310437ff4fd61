"""Solutions of lesson 10's exercises, one of many each."""

from __future__ import annotations

import numpy as np


def best_policy(ref_logps: np.ndarray, rewards: np.ndarray, beta: float) -> np.ndarray:
    """pi* = ref exp(r / beta) / Z, in logs: exp(r / beta) itself would overflow."""
    unnormalised = ref_logps + rewards / beta
    return unnormalised - np.logaddexp.reduce(unnormalised)


def dpo_loss(
    policy_chosen: np.ndarray,
    policy_rejected: np.ndarray,
    ref_chosen: np.ndarray,
    ref_rejected: np.ndarray,
    beta: float,
    label_smoothing: float = 0.0,
) -> float:
    """-log sigmoid(z) = log(1 + exp(-z)) = logaddexp(0, -z), which cannot overflow."""
    z = beta * ((policy_chosen - ref_chosen) - (policy_rejected - ref_rejected))
    return np.mean((1 - label_smoothing) * np.logaddexp(0, -z) + label_smoothing * np.logaddexp(0, z))


def ipo_loss(
    policy_chosen: np.ndarray,
    policy_rejected: np.ndarray,
    ref_chosen: np.ndarray,
    ref_rejected: np.ndarray,
    beta: float,
) -> float:
    """beta is the paper's tau; log-ratios are sums over tokens, as in the paper."""
    h = (policy_chosen - ref_chosen) - (policy_rejected - ref_rejected)
    return np.mean((h - 1 / (2 * beta)) ** 2)


def sequence_logps(logits: np.ndarray, tokens: np.ndarray, response_mask: np.ndarray) -> np.ndarray:
    """Mask and labels are shifted alike: both belong to the token that is predicted."""
    logps = logits - np.logaddexp.reduce(logits, axis=-1)[..., None]
    labels, counted = tokens[:, 1:], np.asarray(response_mask)[:, 1:] != 0
    picked = np.take_along_axis(logps[:, :-1], labels[..., None].astype(int), axis=-1)[..., 0]
    return np.where(counted, picked, 0).sum(axis=1)
