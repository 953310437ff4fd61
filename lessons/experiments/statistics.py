"""Statistics of experiments: an arm against its control over a few seeds, and rank correlation.

The intervals are Student's t, for few seeds: see `minipost.runs.intervals`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from minipost.runs.intervals import t_interval as interval

__all__ = ["interval", "paired_interval", "rank_correlation"]


def paired_interval(arm: Sequence[float], control: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """(mean, low, high) of `arm - control`, one pair a seed. What a seed does to both arms cancels.

    A single seed gives an interval from minus to plus infinity: it says nothing about the next one.
    """
    return interval(np.subtract(arm, control), level)


def rank_correlation(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Spearman's rank correlation; ties share their mean rank."""
    return float(np.corrcoef(_ranks(np.asarray(a)), _ranks(np.asarray(b)))[0, 1])


def _ranks(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, group, count = np.unique(x, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count + 1) / 2)[group])
