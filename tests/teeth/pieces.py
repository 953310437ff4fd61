"""What is right in every mutant: the few formulas that they share, so that each shows nothing but its bug."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np


class Lazy:
    """A module that is imported when it is first used: the catalogue can be read without PyTorch or JAX."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


def softplus(z: Any) -> Any:
    """log(1 + exp(z))"""
    return np.logaddexp(0, z).astype(np.result_type(z, np.float32))


def sigmoid(z: Any) -> Any:
    """1 / (1 + exp(-z))"""
    return 0.5 * (1 + np.tanh(0.5 * z))


def log_softmax(logits: Any) -> Any:
    """[..., V] -> [..., V]"""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def pick(logps: Any, labels: Any) -> Any:
    """`logps[b, t, labels[b, t]]`: [B, T, V], [B, T] -> [B, T]. Labels outside the vocabulary pick anything."""
    valid = np.clip(labels, 0, logps.shape[-1] - 1)
    return np.take_along_axis(logps, valid[..., None], axis=-1)[..., 0]


def hide(x: Any, mask: Any) -> Any:
    """`x` where the mask counts, else 0, whatever was there."""
    return np.where(mask != 0, x, 0).astype(np.result_type(x, np.float32))


def token_mean(x: Any, mask: Any) -> Any:
    """The mean over all counted tokens of the batch, 0 if there is none."""
    return hide(x, mask).sum() / max((mask != 0).sum(), 1)


def log_ratio(logp: Any, old_logp: Any, mask: Any) -> Any:
    """`logp - old_logp` where the mask counts, else 0."""
    return hide(logp, mask) - hide(old_logp, mask)


def last_counted(mask: Any) -> Any:
    """1.0 at the last counted token of each row, an empty row has none: [B, T] -> [B, T]."""
    counted = mask != 0
    after = np.cumsum(counted[:, ::-1], axis=1)[:, ::-1]  # counted tokens from here on
    return (counted & (after == 1)).astype(np.float64)


def margin_of(policy_chosen: Any, policy_rejected: Any, ref_chosen: Any, ref_rejected: Any) -> Any:
    """DPO's h [B]: how much more the policy prefers the chosen response than the reference does."""
    return (policy_chosen - ref_chosen) - (policy_rejected - ref_rejected)


def log_odds(logp: Any) -> Any:
    """log(p / (1 - p)) from log p < 0"""
    return logp - np.log(-np.expm1(logp))


def advantages_of(rewards: Any, values: Any, mask: Any, gamma: float, lam: float) -> Any:
    """GAE [B, T]: beyond the last counted token there is neither value nor advantage."""
    r, v = hide(rewards, mask), hide(values, mask)
    advantages = np.zeros_like(r, shape=(r.shape[0], r.shape[1] + 1))
    v_next = np.append(v[:, 1:], np.zeros_like(v[:, :1]), axis=1)  # v is 0 outside the mask
    for t in reversed(range(r.shape[1])):
        delta = r[:, t] + gamma * v_next[:, t] - v[:, t]
        advantages[:, t] = np.where(mask[:, t] != 0, delta + gamma * lam * advantages[:, t + 1], 0)
    return advantages[:, :-1]
