"""95 % intervals: they cover what they promise, and agree with the published tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minipost.runs.intervals import mean_interval, share_interval, t_interval, t_quantile


@pytest.mark.parametrize(("degrees", "t"), [(1, 12.7062), (2, 4.3027), (5, 2.5706), (30, 2.0423), (1000, 1.9623)])
def test_quantiles_are_those_of_the_tables(degrees: int, t: float) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(t, abs=2e-4)


def test_t_intervals_of_few_values_cover_what_they_promise() -> None:
    rng = np.random.default_rng(0)
    covered = [low < 1 < high for _, low, high in (t_interval(1 + rng.standard_normal(4)) for _ in range(1000))]
    assert 0.93 < np.mean(covered) < 0.97


def test_mean_intervals_of_many_values_cover_what_they_promise() -> None:
    rng = np.random.default_rng(0)
    covered = [low < 1 < high for low, high in (mean_interval(rng.exponential(size=200)) for _ in range(1000))]
    assert 0.93 < np.mean(covered) < 0.97


def test_what_one_value_says_of_the_mean() -> None:
    assert mean_interval(np.array([3.0])) == [3.0, 3.0]
    assert t_interval([3.0]) == (3.0, -math.inf, math.inf)


def test_the_variance_divides_by_what_is_said() -> None:
    values = np.random.default_rng(0).normal(size=50)
    low, high = mean_interval(values, ddof=0)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(50))
    wide = mean_interval(values)
    assert (wide[1] - wide[0]) / (high - low) == pytest.approx(math.sqrt(50 / 49))


@given(share=st.floats(0, 1), n=st.integers(1, 10_000))
def test_the_interval_of_a_share_contains_it_and_stays_inside(share: float, n: int) -> None:
    low, high = share_interval(share, n)
    assert 0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1
