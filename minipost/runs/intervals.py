"""95 % intervals of what was measured: three questions, three formulas.

    mean_interval     the mean of many independent measurements, such as utilities of 150 answers: +- 1.96 standard
                      errors, by the normal approximation
    share_interval    a share of n yes-or-no outcomes, such as pairs ranked right: Wilson's, which stays inside [0, 1]
    t_interval        the mean over few seeds, three to ten: Student's t

With few seeds a bootstrap's intervals are too short (it resamples the same few numbers), and the normal distribution's
are, too. Student's t is exact if the values are normal, and honest about what three seeds can say: its 95 % interval is
2.5 times as wide as the normal one (Student 1908).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Z = 1.96  # the normal distribution's 97.5 % quantile


def mean_interval(values: npt.NDArray[Any], ddof: int = 1) -> list[float]:
    """[low, high] of the mean of `values` [N] by the normal approximation; of a single value, that value twice.

    The variance divides by N - `ddof`: 1 is unbiased. 0 belongs to best-of-n's curve, whose published numbers have it.

    >>> [round(bound, 3) for bound in mean_interval(np.array([1.0, 2.0, 3.0]))]
    [0.868, 3.132]
    """
    mean = float(np.mean(values))
    half = Z * float(np.std(values, ddof=ddof)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return [mean - half, mean + half]


def share_interval(share: float, n: float) -> tuple[float, float]:
    """(low, high) of a share out of `n` (Wilson 1927): unlike share +- 1.96 standard errors it stays inside [0, 1].

    >>> tuple(round(bound, 3) for bound in share_interval(1.0, 10))
    (0.722, 1.0)
    """
    if n <= 0:
        return share, share
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def t_interval(values: Sequence[float] | npt.NDArray[np.float64], level: float = 0.95) -> tuple[float, float, float]:
    """(mean, low, high) of the mean of a few independent values, by Student's t.

    A single value gives an interval from minus to plus infinity: it says nothing about the next one.
    """
    x = np.asarray(values, np.float64)
    mean = float(x.mean())
    if len(x) < 2:
        return mean, -math.inf, math.inf
    half = t_quantile(0.5 + level / 2, len(x) - 1) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return mean, mean - half, mean + half


def t_quantile(probability: float, degrees: int) -> float:
    """The quantile (at `probability` >= 0.5) of Student's t with `degrees` of freedom.

    With t = sqrt(degrees) tan(a) the density becomes cos(a)^(degrees - 1) on (-pi/2, pi/2): one smooth curve to sum up.

    >>> round(t_quantile(0.975, 4), 3)
    2.776
    """
    angles = np.linspace(0, np.pi / 2, 100_001)
    density = np.cos(angles) ** (degrees - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    angle = np.interp(2 * probability - 1, mass / mass[-1], angles)
    return math.sqrt(degrees) * math.tan(float(angle))
