"""Exercises of lesson 7. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 7
"""

from __future__ import annotations

import numpy as np


def reward_loss(
    chosen: np.ndarray, rejected: np.ndarray, margin: float | np.ndarray = 0.0, center: float = 0.0
) -> float:
    """Bradley-Terry: the mean over pairs of -log sigmoid(chosen - rejected - margin), and the centring term
    `center` * mean (chosen + rejected)^2. `chosen[B]`, `rejected[B]`; `margin` is one number or [B].

    It must not overflow: scores may differ by 10,000.
    """
    raise NotImplementedError


def informed_agreement(gaps: np.ndarray, temperature: float, noise: float) -> float:
    """How often a rater who knows every utility agrees with a label, on pairs whose utilities differ by `gaps[M]`.

    A labeler prefers the first with probability sigmoid(gap / temperature); with probability `noise` they do not look,
    and toss a coin instead. A gap may be negative.
    """
    raise NotImplementedError


def best_difference(flipped: float) -> float:
    """All labelers agree that one answer is better, but a share `flipped` (0 to 1/2) of the labels is turned around.

    Which difference of scores, better minus worse, minimises the expected Bradley-Terry loss?
    """
    raise NotImplementedError


def end_scores(hidden: np.ndarray, mask: np.ndarray, head: np.ndarray) -> np.ndarray:
    """The score of each sequence, [B]: `hidden[B, T, C]` at its last real token, times `head[C]`.

    `mask[B, T]` is 1 for real tokens and 0 for padding; each row has a real token, and they stand in one run. This one
    is written, it trains, and it is wrong.
    """
    last = mask.sum(axis=1) - 1
    return hidden[np.arange(len(hidden)), last] @ head
