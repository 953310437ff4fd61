"""Solutions of lesson 6's exercises."""

from __future__ import annotations

import numpy as np


def best_clone(counts: np.ndarray) -> np.ndarray:
    """p - q is the gradient: the minimum is at the demonstrators' own frequencies."""
    return counts / counts.sum()


def pooled_margin(margins: np.ndarray, shares: np.ndarray) -> float:
    """The pool prefers the first answer with the mean probability p; the minimum is at logit(p). The mean is one of
    probabilities: margins do not average."""
    p = float(np.sum(shares / (1 + np.exp(-margins))))
    return float(np.log(p) - np.log1p(-p))


def regret_of(rewards: np.ndarray, utilities: np.ndarray) -> np.ndarray:
    """One choice for all, judged by each."""
    given = rewards.argmax(axis=1)  # [Q]
    had = np.take_along_axis(utilities, given[None, :, None], axis=2)[..., 0]  # [G, Q]
    return (utilities.max(axis=2) - had).mean(axis=1)


def harm_rate(harmful: np.ndarray, complied: np.ndarray) -> float:
    """Harmless requests are in neither numerator nor denominator."""
    return float((harmful * complied).sum() / max(harmful.sum(), 1))
