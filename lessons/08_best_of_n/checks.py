"""What the answers of lesson 8 are held to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import comb
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.laws.law import Assertion, at_least, equal


@st.composite
def outcomes(draw: Any) -> dict[str, Any]:
    """Two or three outcomes with positive probabilities, some with equal scores, and an n."""
    M = draw(st.integers(2, 3))
    parts = np.array([draw(st.integers(1, 4)) for _ in range(M)], float)
    scores = np.array([float(draw(st.integers(0, 2))) for _ in range(M)])
    return {"probs": parts / parts.sum(), "scores": scores, "n": draw(st.integers(1, 4))}


def enumerated(probs: np.ndarray, scores: np.ndarray, n: int) -> np.ndarray:
    """The pick's distribution by writing down all M^n draws."""
    out = np.zeros(len(probs))
    for draws in product(range(len(probs)), repeat=n):
        best = [i for i in draws if scores[i] == scores[list(draws)].max()]
        for i in best:
            out[i] += probs[list(draws)].prod() / len(best)
    return out


# ------------------------------------------------------------------------------------------------------------ pick_pmf
def is_a_distribution(f: Any, probs: np.ndarray, scores: np.ndarray, n: int) -> Iterator[Assertion]:
    yield equal("the sum of pick_pmf", np.sum(f(probs, scores, n)), 1.0)
    yield equal("pick_pmf of a single draw", f(probs, scores, 1), probs)


def is_what_drawing_gives(f: Any, probs: np.ndarray, scores: np.ndarray, n: int) -> Iterator[Assertion]:
    yield equal("pick_pmf", f(probs, scores, n), enumerated(probs, scores, n))


# ------------------------------------------------------------------------------------------------------------- pick_kl
@st.composite
def two_distributions(draw: Any) -> dict[str, Any]:
    M = draw(st.integers(1, 3))
    p, q = (np.array([float(draw(st.integers(low, 4))) for _ in range(M)]) for low in (1, 0))
    q = q if q.any() else np.ones(M)
    return {"probs": p / p.sum(), "picked": q / q.sum()}


def is_the_sum(f: Any, probs: np.ndarray, picked: np.ndarray) -> Iterator[Assertion]:
    terms = [q * np.log(q / p) for p, q in zip(probs, picked, strict=True) if q > 0]
    with np.errstate(all="raise"):
        yield equal("pick_kl", f(probs, picked), sum(terms))


def is_zero_if_equal(f: Any, probs: np.ndarray, picked: np.ndarray) -> Iterator[Assertion]:
    yield at_least("pick_kl", f(probs, picked), 0.0)
    yield equal("pick_kl of equal distributions", f(probs, probs), 0.0)


# ----------------------------------------------------------------------------------------------------------- pass_at_k
@st.composite
def counted(draw: Any) -> dict[str, int]:
    samples = draw(st.integers(1, 5) | st.just(10_000))
    return {"samples": samples, "right": draw(st.integers(0, min(samples, 50))), "k": draw(st.integers(1, samples))}


def counts_sets(f: Any, samples: int, right: int, k: int) -> Iterator[Assertion]:
    yield equal("pass_at_k", f(samples, right, k), 1 - comb(samples - right, k) / comb(samples, k))


CHECKS = [
    Check(
        "pick_pmf",
        [
            Property(
                "E1",
                "it is a distribution, and for n = 1 the given one",
                "sum q = 1, q(1) = p",
                outcomes(),
                is_a_distribution,
            ),
            Property(
                "P78",
                "it is what drawing n times gives, ties broken at random",
                "q = sum over all draws",
                outcomes(),
                is_what_drawing_gives,
            ),
        ],
        hints=[
            "Without ties it is F(i)^n - F(i-1)^n, with outcomes sorted by score.",
            "Treat all outcomes of one score as one outcome first.",
            "Among equal scores the pick is distributed as the draws are: share by probs / (their sum).",
        ],
    ),
    Check(
        "pick_kl",
        [
            Property(
                "E2",
                "it is the mean log-ratio under the pick",
                "sum q log(q / p), 0 log 0 = 0",
                two_distributions(),
                is_the_sum,
            ),
            Property(
                "P56", "it is never negative, and 0 if both are equal", "KL >= 0", two_distributions(), is_zero_if_equal
            ),
        ],
        hints=[
            "Which distribution is the expectation taken under, and which one is in the denominator?",
            "x log x goes to 0 as x does, but NumPy does not know that.",
            "Select the outcomes with picked > 0 before taking logarithms.",
        ],
    ),
    Check(
        "pass_at_k",
        [Property("P77", "it counts sets", "1 - C(N - c, k) / C(N, k)", counted(), counts_sets)],
        hints=[
            "Count the sets of k in which nothing is right.",
            "There are C(samples - right, k) of them, of C(samples, k). What if k is larger than samples - right?",
            "math.comb takes any integers, and Python divides huge integers exactly.",
        ],
    ),
    Check(
        "best_of_n_curve",
        "best_of_n.estimate",
        bug="P72",
        hints=[
            "Take two samples, and work out best-of-2 of them by hand.",
            "all_below is (below / N) ** n: the chance that n draws are all below. How were they drawn?",
            "After n samples that are below, (below - n) of the remaining (N - n) are.",
        ],
    ),
]
