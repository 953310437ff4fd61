"""Solutions of lesson 11's exercises, one of many each."""

from __future__ import annotations

import numpy as np


def win_rate(mine: np.ndarray, theirs: np.ndarray) -> float:
    """A tie is half a win for both, so that the two win rates of a pair of models sum to 1."""
    return float(np.mean((mine > theirs) + 0.5 * (mine == theirs)))


def undominated(kl: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Compare all pairs: entry [i, j] says whether model j dominates model i."""
    no_worse = (kl[None, :] <= kl[:, None]) & (gold[None, :] >= gold[:, None])
    better = (kl[None, :] < kl[:, None]) | (gold[None, :] > gold[:, None])
    return ~(no_worse & better).any(axis=1)


def break_even(training: int, n: int) -> int:
    """training + A <= 2 n A from A = training / (2n - 1) on, rounded up."""
    return -(-training // (2 * n - 1))


def kl_to_reference(logps: np.ndarray, ref_logps: np.ndarray, mask: np.ndarray) -> float:
    """A response's log-probability is a sum over its tokens; the expectation is a mean over responses. Dividing by the
    number of tokens gives KL a token, and rewards a policy for getting longer."""
    log_ratio = np.where(mask != 0, logps - ref_logps, 0.0)
    return float(log_ratio.sum(axis=1).mean())
