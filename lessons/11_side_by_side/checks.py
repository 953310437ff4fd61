"""What the answers of lesson 11 are held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.laws.law import Assertion, at_least, at_most, equal


@st.composite
def two_rows(draw: Any) -> dict[str, Any]:
    """Two arrays of up to four small whole numbers: ties are common."""
    size = draw(st.integers(1, 4))
    rows = [draw(st.lists(st.integers(0, 3), min_size=size, max_size=size)) for _ in range(2)]
    return {"first": np.array(rows[0], float), "second": np.array(rows[1], float)}


@st.composite
def responses(draw: Any) -> dict[str, Any]:
    """Up to three responses of up to three tokens, each of at least one, with log-probabilities of both models."""
    S, R = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    lengths = np.array(draw(st.lists(st.integers(1, R), min_size=S, max_size=S)))
    numbers = st.lists(st.integers(-4, 0), min_size=S * R, max_size=S * R)
    tables = [np.array(draw(numbers), float).reshape(S, R) for _ in range(2)]
    return {"logps": tables[0], "ref_logps": tables[1], "mask": (np.arange(R) < lengths[:, None]).astype(int)}


# ------------------------------------------------------------------------------------------------------------ win_rate
def sums_to_one(f: Any, first: np.ndarray, second: np.ndarray) -> Iterator[Assertion]:
    yield equal("win_rate(a, b) + win_rate(b, a)", f(first, second) + f(second, first), 1.0)


def counts(f: Any, first: np.ndarray, second: np.ndarray) -> Iterator[Assertion]:
    points = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in zip(first, second, strict=True)]
    yield equal("win_rate(mine, theirs)", f(first, second), sum(points) / len(points))


# --------------------------------------------------------------------------------------------------------- undominated
def on_the_frontier(f: Any, first: np.ndarray, second: np.ndarray) -> Iterator[Assertion]:
    points = list(zip(first, second, strict=True))
    expected = [not any(k <= kl and g >= gold and (k, g) != (kl, gold) for k, g in points) for kl, gold in points]
    yield equal("undominated(kl, gold)", np.asarray(f(first, second), float), np.array(expected, float))


# ---------------------------------------------------------------------------------------------------------- break_even
def is_enough(f: Any, training: int, n: int) -> Iterator[Assertion]:
    answers = f(training, n)
    yield at_most("training + A, of best-of-n's 2 n A", training + answers, 2 * n * answers)


def is_the_first(f: Any, training: int, n: int) -> Iterator[Assertion]:
    answers = f(training, n) - 1
    yield at_least("training + (A - 1), above 2 n (A - 1)", training + answers, 2 * n * answers + 1)


# ----------------------------------------------------------------------------------------------------- kl_to_reference
def of_whole_responses(f: Any, logps: np.ndarray, ref_logps: np.ndarray, mask: np.ndarray) -> Iterator[Assertion]:
    each = [sum(a - b for a, b, m in zip(*row, strict=True) if m) for row in zip(logps, ref_logps, mask, strict=True)]
    yield equal("kl_to_reference(...)", f(logps, ref_logps, mask), sum(each) / len(each))


def agreement_is_free(f: Any, logps: np.ndarray, ref_logps: np.ndarray, mask: np.ndarray) -> Iterator[Assertion]:
    more = np.zeros((len(mask), 1))
    longer = f(np.hstack([more, logps]), np.hstack([more, ref_logps]), np.hstack([more.astype(int) + 1, mask]))
    yield equal("with one more token on which both agree", longer, f(logps, ref_logps, mask))


costs = st.fixed_dictionaries({"training": st.integers(1, 200), "n": st.integers(1, 20)})
CHECKS = [
    Check(
        "win_rate",
        [
            Property("E1", "one model's wins are the other's losses", "w(a, b) + w(b, a) = 1", two_rows(), sums_to_one),
            Property("E2", "a win counts 1, a tie 1/2", "w = mean [a > b] + [a = b] / 2", two_rows(), counts),
        ],
        hints=[
            "What should a model score against a copy of itself?",
            "Two comparisons, > and ==, each gives an array of booleans; one of them counts half.",
        ],
    ),
    Check(
        "undominated",
        [
            Property(
                "E3",
                "a point is on the frontier if no other is at least as good in both and better in one",
                "on(i) = not exists j: kl_j <= kl_i, gold_j >= gold_i, (kl_j, gold_j) != (kl_i, gold_i)",
                two_rows(),
                on_the_frontier,
            )
        ],
        hints=[
            "Start with two loops over the models. What about two equal points? Neither dominates the other.",
            "kl[None, :] <= kl[:, None] compares all pairs at once: [M, M].",
        ],
    ),
    Check(
        "break_even",
        [
            Property("E4", "at the break-even training is no dearer", "training + A <= 2 n A", costs, is_enough),
            Property("E5", "one answer earlier it still is", "training + (A - 1) > 2 n (A - 1)", costs, is_the_first),
        ],
        hints=[
            "Write both costs of A answers and solve for A.",
            "A = training / (2n - 1), rounded up: -(-a // b) rounds a / b up.",
        ],
    ),
    Check(
        "kl_to_reference",
        [
            Property(
                "E6",
                "tokens on which both models agree add nothing to a response's KL",
                "KL(with an equal token) = KL(without)",
                responses(),
                agreement_is_free,
            ),
            Property(
                "P55",
                "KL of responses is the expectation of a sum over tokens",
                "KL = mean_i sum_t log-ratio_it",
                responses(),
                of_whole_responses,
            ),
        ],
        bug="E6",
        hints=[
            "The frontier's axis is in nats a *response*. In what is this?",
            "Let every response begin with a token that both models are sure of. What changes, and what should?",
            "Sum over tokens within a response first; then average over responses.",
        ],
    ),
]
