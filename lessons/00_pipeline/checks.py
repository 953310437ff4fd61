"""What the answers of lesson 0 are held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.laws.law import Assertion, equal
from minipost.laws.strategies import small_array

two = st.fixed_dictionaries({"ours": small_array(3), "theirs": small_array(3)})
sample = st.fixed_dictionaries({"values": small_array(4)})


# ------------------------------------------------------------------------------------------------------------ win_rate
def against_oneself(f: Any, ours: np.ndarray, theirs: np.ndarray) -> Iterator[Assertion]:
    yield equal("win_rate(x, x)", f(ours, ours), 0.5)


def both_ways(f: Any, ours: np.ndarray, theirs: np.ndarray) -> Iterator[Assertion]:
    yield equal("win_rate(x, y) + win_rate(y, x)", f(ours, theirs) + f(theirs, ours), 1.0)


def sure_winner(f: Any, ours: np.ndarray, theirs: np.ndarray) -> Iterator[Assertion]:
    yield equal("win_rate(x, x - 1)", f(ours, ours - 1), 1.0)


# ------------------------------------------------------------------------------------------------------- mean_interval
def is_the_mean(f: Any, values: np.ndarray) -> Iterator[Assertion]:
    yield equal("the mean", f(values)[0], sum(values) / len(values))


def as_wide_as_it_should(f: Any, values: np.ndarray) -> Iterator[Assertion]:
    mean, low, high = f(values)
    yield equal("low and high, around the mean", mean - low, high - mean)
    squares = sum((x - sum(values) / len(values)) ** 2 for x in values)
    yield equal("half of the width", high - mean, 1.96 * (squares / (len(values) - 1) / len(values)) ** 0.5)


# ----------------------------------------------------------------------------------------------------------- best_of_n
@st.composite
def candidates(draw: Any) -> dict[str, Any]:
    orders = [draw(st.permutations(range(3))) for _ in range(2)]
    return {"proxy": np.array(orders, float), "gold": draw(small_array(2, 3))}


def picks_by_proxy(f: Any, proxy: np.ndarray, gold: np.ndarray) -> Iterator[Assertion]:
    picked = [g[list(p).index(max(p))] for p, g in zip(proxy, gold, strict=True)]
    yield equal("best_of_n(proxy, gold)", f(proxy, gold), sum(picked) / len(picked))


def perfect_judge(f: Any, proxy: np.ndarray, gold: np.ndarray) -> Iterator[Assertion]:
    yield equal("best_of_n(x, x)", f(proxy, proxy), 2.0)  # the scores of each prompt are 0, 1 and 2


# ----------------------------------------------------------------------------------------------------- kl_to_reference
@st.composite
def responses(draw: Any) -> dict[str, Any]:
    lengths = np.array([draw(st.integers(1, 2)) for _ in range(2)])
    mask = np.arange(2) < lengths[:, None]
    return {
        "logps": draw(small_array(2, 2)),
        "reference_logps": draw(small_array(2, 2)),
        "mask": mask,
        "garbage": draw(small_array(2, 2)),
    }


def padding_is_nobodys(
    f: Any, logps: np.ndarray, reference_logps: np.ndarray, mask: np.ndarray, garbage: np.ndarray
) -> Iterator[Assertion]:
    clean = f(np.where(mask, logps, 0), np.where(mask, reference_logps, 0), mask)
    yield equal("kl with other numbers in the padding", f(np.where(mask, logps, garbage), reference_logps, mask), clean)


def by_hand(
    f: Any, logps: np.ndarray, reference_logps: np.ndarray, mask: np.ndarray, garbage: np.ndarray
) -> Iterator[Assertion]:
    sums = [sum((a - b)[m]) for a, b, m in zip(logps, reference_logps, mask, strict=True)]
    yield equal("kl_to_reference(...)", f(logps, reference_logps, mask), sum(sums) / len(sums))


CHECKS = [
    Check(
        "win_rate",
        [
            Property("E1", "nobody beats oneself", "w(x, x) = 1/2", two, against_oneself),
            Property("E2", "what one wins the other loses", "w(x, y) + w(y, x) = 1", two, both_ways),
            Property("E3", "who is always better always wins", "w(x, x - 1) = 1", two, sure_winner),
        ],
        hints=["Compare elementwise, then take the mean.", "(ours > theirs) + 0.5 * (ours == theirs)."],
    ),
    Check(
        "mean_interval",
        [
            Property("E4", "it is the mean", "sum(x) / N", sample, is_the_mean),
            Property("E5", "1.96 standard errors to each side", "1.96 s / sqrt(N)", sample, as_wide_as_it_should),
        ],
        hints=["np.std divides by N; ask it for N - 1.", "np.std(values, ddof=1) / sqrt(N) is the standard error."],
    ),
    Check(
        "best_of_n",
        [
            Property("E6", "pick by the proxy, judge by gold", "gold[argmax proxy]", candidates(), picks_by_proxy),
            Property("E7", "a perfect judge picks the best", "f(x, x) = mean max x", candidates(), perfect_judge),
        ],
        hints=[
            "np.argmax(proxy, axis=1) is one column a prompt.",
            "gold[np.arange(P), picked]: one entry of each row. gold[:, picked] is something else.",
        ],
    ),
    Check(
        "kl_to_reference",
        [
            Property(
                "E8",
                "what stands in the padding changes nothing",
                "kl(x, garbage) = kl(x, 0)",
                responses(),
                padding_is_nobodys,
            ),
            Property("E9", "sums over tokens, mean over responses", "mean_s sum_t m (lp - lr)", responses(), by_hand),
        ],
        bug="E8",
        hints=["Which argument is never used?", "Zero what the mask leaves out, then sum over tokens."],
    ),
]
