"""Exercises of lesson 11. Replace each `raise NotImplementedError`, find the bug in the last, and run

minipost exercise 11
"""

from __future__ import annotations

import numpy as np


def win_rate(mine: np.ndarray, theirs: np.ndarray) -> float:
    """How often one model's answer is better than another's, from the utilities mine[T] and theirs[T] of their answers
    to the same T prompts. A model should come out at one half against itself.
    """
    raise NotImplementedError


def undominated(kl: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Which of M models lie on the frontier: booleans [M].

    A model is dominated if another one has no more kl[M] and no less gold[M], and differs in at least one of them.
    """
    raise NotImplementedError


def break_even(training: int, n: int) -> int:
    """The smallest number of answers at which a trained policy is no dearer than best-of-n, in passes.

    The policy costs `training` passes once and one pass an answer; best-of-n samples and scores n >= 1 candidates for
    each answer, which is 2n passes.
    """
    raise NotImplementedError


def kl_to_reference(logps: np.ndarray, ref_logps: np.ndarray, mask: np.ndarray) -> float:
    """An estimate of KL(policy || reference) of whole responses, from responses that the policy sampled.

    logps[S, R] and ref_logps[S, R] are the log-probabilities of their tokens under both models, mask[S, R] is 1 at the
    tokens of a response and 0 at padding. This one is written, plausible, and wrong.
    """
    log_ratio = np.where(mask != 0, logps - ref_logps, 0.0)
    return float(log_ratio.sum() / mask.sum())
