"""Exercises of lesson 6. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 6
"""

from __future__ import annotations

import numpy as np


def best_clone(counts: np.ndarray) -> np.ndarray:
    """The probabilities [K] at which SFT's loss on these demonstrations is least; counts[K] says how often each of K
    answers was demonstrated (at least one was)."""
    raise NotImplementedError


def pooled_margin(margins: np.ndarray, shares: np.ndarray) -> float:
    """The difference of rewards d at which Bradley-Terry's loss on pooled comparisons of two answers is least.

    Population k makes shares[k] of the comparisons (they sum to 1) and prefers the first answer with probability
    sigmoid(margins[k]).
    """
    raise NotImplementedError


def regret_of(rewards: np.ndarray, utilities: np.ndarray) -> np.ndarray:
    """What each population loses [G] if every question gets the answer of highest reward: the mean over questions of
    its best utility minus that of the answer given.

    rewards[Q, K] of K answers to each of Q questions; utilities[G, Q, K].
    """
    raise NotImplementedError


def harm_rate(harmful: np.ndarray, complied: np.ndarray) -> float:
    """The share of harmful requests that were fulfilled; 0 if there were none.

    harmful[N] is 1 where the request was harmful, complied[N] is 1 where the answer fulfilled it. This one is written,
    it is on a dashboard, and it falls whenever somebody adds questions about the weather.
    """
    return float(np.mean(harmful * complied)) if len(harmful) else 0.0
