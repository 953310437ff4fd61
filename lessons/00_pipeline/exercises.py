"""Exercises of lesson 0. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 0
"""

from __future__ import annotations

import numpy as np


def win_rate(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The share of prompts on which our answer is better, given both utilities [N]. A tie counts half."""
    raise NotImplementedError


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """(mean, low, high): the mean of values[N] and its 95 % interval, 1.96 standard errors to each side.

    The standard error is the sample's deviation (with N - 1) over the root of N. N is at least 2.
    """
    raise NotImplementedError


def best_of_n(proxy: np.ndarray, gold: np.ndarray) -> float:
    """The mean true utility of what a reward model picks.

    proxy and gold are [P, n]: the reward model's score and the utility of each of n answers to each of P prompts. Of
    each prompt's answers the one with the highest score is picked; scores do not tie.
    """
    raise NotImplementedError


def kl_to_reference(logps: np.ndarray, reference_logps: np.ndarray, mask: np.ndarray) -> float:
    """An estimate of KL(policy || reference) in nats a response.

    Log-probabilities [S, R] of the tokens of S responses that the policy sampled, under both models; mask[S, R] is true
    for tokens, and false for the padding behind shorter responses.

    This one is written, it is positive, and it is wrong.
    """
    per_token = logps - reference_logps  # [S, R]
    return float(per_token.sum() / len(per_token))
