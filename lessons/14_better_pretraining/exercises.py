"""Exercises of lesson 14. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 14
"""

from __future__ import annotations

import numpy as np


def expert_share(seen: float, users: float, experts: float) -> float:
    """The share of experts among a web's authors, from three rates: how often replies of the web, of users and of
    experts are warm. Users and experts differ. Rates are measured, so that the answer must be kept within [0, 1].
    """
    raise NotImplementedError


def author_posterior(prior: np.ndarray, log_likelihoods: np.ndarray) -> np.ndarray:
    """The probabilities [K] of K authors after T tokens, from their prior probabilities [K] (all above 0) and the
    log-likelihood of each token under each author, [T, K]. T may be thousands.
    """
    raise NotImplementedError


def stage_gains(golds: np.ndarray) -> np.ndarray:
    """What each stage gains: golds[N, S] are the utilities of N seeds after each of S stages in order.

    Return [S - 1, 2]: the mean gain over seeds, and its standard error (of the paired differences, with N - 1).
    N is at least 2.
    """
    raise NotImplementedError


def bits_per_byte(nll: np.ndarray, size: np.ndarray) -> float:
    """How well a model compresses a text: nll[T] are the negative log-probabilities of its tokens in nats, size[T]
    their lengths in bytes, at least 1 each. This one is written, looks reasonable, and is wrong.
    """
    return float(np.mean(nll / size) / np.log(2))
