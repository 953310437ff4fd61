"""Exercises of lesson 13. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 13
"""

from __future__ import annotations

import numpy as np


def rloo(rewards: np.ndarray) -> np.ndarray:
    """RLOO's advantages: each of the K rewards of a group minus the mean of the other K - 1. [G, K] -> [G, K].

    A group of one has no others: raise a ValueError.
    """
    raise NotImplementedError


def grpo(rewards: np.ndarray) -> np.ndarray:
    """GRPO's advantages: (r - mean) / (std + 1e-4), mean and population std of the group. [G, K] -> [G, K].

    Rewards may share a large offset, 10,000 say, in float32. A group of one: raise a ValueError.
    """
    raise NotImplementedError


def token_weights(mask: np.ndarray, weighting: str) -> np.ndarray:
    """What each token of mask[S, R] weighs in the mean over a batch, for "sequence" and for "token". [S, R], sum 1.

    "sequence": every answer has the same vote, shared by its tokens. "token": every token has the same vote.
    """
    raise NotImplementedError


def group_means(rewards: np.ndarray, group: int) -> np.ndarray:
    """The mean reward of each answer's group, [S], where answers to one prompt stand next to each other.

    This one is written, it trains, and it is wrong.
    """
    table = np.asarray(rewards, float).reshape(group, -1)  # [K, G]
    return np.tile(table.mean(axis=0), group)
