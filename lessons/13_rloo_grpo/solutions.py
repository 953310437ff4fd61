"""Solutions of lesson 13's exercises, one of many each."""

from __future__ import annotations

import numpy as np


def rloo(rewards: np.ndarray) -> np.ndarray:
    """The others' sum is the whole sum without one's own; centred first, for large offsets."""
    K = rewards.shape[-1]
    if K < 2:
        raise ValueError("a group of one has no others to compare with")
    r = rewards.astype(np.float64) - rewards.astype(np.float64).mean(axis=-1, keepdims=True)
    others = (r.sum(axis=-1, keepdims=True) - r) / (K - 1)
    return r - others


def grpo(rewards: np.ndarray) -> np.ndarray:
    """In float64, since a large offset would drown the differences."""
    if rewards.shape[-1] < 2:
        raise ValueError("a group of one has no others to compare with")
    r = rewards.astype(np.float64)
    r = r - r.mean(axis=-1, keepdims=True)
    return r / (np.sqrt((r**2).mean(axis=-1, keepdims=True)) + 1e-4)


def token_weights(mask: np.ndarray, weighting: str) -> np.ndarray:
    """Empty answers have no vote."""
    counted = np.asarray(mask) != 0
    if weighting == "token":
        return counted / max(counted.sum(), 1)
    lengths = counted.sum(axis=1, keepdims=True)  # [S, 1]
    return counted / np.maximum(lengths, 1) / max((lengths > 0).sum(), 1)


def group_means(rewards: np.ndarray, group: int) -> np.ndarray:
    """Next to each other: the group is the *last* axis of the table, and each mean is repeated, not tiled."""
    table = np.asarray(rewards, float).reshape(-1, group)  # [G, K]
    return np.repeat(table.mean(axis=1), group)
