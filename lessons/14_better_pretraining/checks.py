"""What the answers of lesson 14 are held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.laws.law import Assertion, equal


@st.composite
def rates(draw: Any) -> dict[str, Any]:
    """Three rates in tenths; users and experts differ."""
    users, experts = draw(st.permutations(range(11)))[:2]
    return {"seen": draw(st.integers(0, 10)) / 10, "users": users / 10, "experts": experts / 10}


@st.composite
def authors(draw: Any) -> dict[str, Any]:
    """Two authors, up to three tokens that one of them finds likely, or impossibly unlikely."""
    T = draw(st.integers(0, 3))
    each = st.sampled_from([0.0, -1.0, -2.0, -800.0])
    table = [draw(each) for _ in range(2 * T)]
    weight = draw(st.integers(1, 9))
    return {"prior": np.array([weight, 10 - weight]) / 10, "log_likelihoods": np.array(table, float).reshape(T, 2)}


@st.composite
def seeds(draw: Any) -> dict[str, Any]:
    """Two or three seeds, two or three stages, small whole numbers."""
    N, S = draw(st.integers(2, 3)), draw(st.integers(2, 3))
    numbers = draw(st.lists(st.integers(-2, 3), min_size=N * S, max_size=N * S))
    shift = draw(st.lists(st.integers(-2, 2), min_size=N, max_size=N))
    return {"golds": np.array(numbers, float).reshape(N, S), "shift": np.array(shift, float)}


@st.composite
def texts(draw: Any) -> dict[str, Any]:
    """Up to three tokens: nats in whole numbers, sizes of one to four bytes."""
    T = draw(st.integers(1, 3))
    nll = draw(st.lists(st.integers(0, 4), min_size=T, max_size=T))
    size = draw(st.lists(st.integers(1, 4), min_size=T, max_size=T))
    return {"nll": np.array(nll, float), "size": np.array(size)}


# -------------------------------------------------------------------------------------------------------- expert_share
def mixes_back(f: Any, seen: float, users: float, experts: float) -> Iterator[Assertion]:
    share = f(seen, users, experts)
    nearest = min(max(seen, min(users, experts)), max(users, experts))  # a mixture lies between the two
    yield equal("(1 - share) users + share experts", (1 - share) * users + share * experts, nearest)


# ---------------------------------------------------------------------------------------------------- author_posterior
def one_by_one(f: Any, prior: np.ndarray, log_likelihoods: np.ndarray) -> Iterator[Assertion]:
    logs = np.log(prior) + log_likelihoods.sum(axis=0)
    yield equal("author_posterior(...)", f(prior, log_likelihoods), np.exp(logs - np.logaddexp.reduce(logs)))


def common_factor(f: Any, prior: np.ndarray, log_likelihoods: np.ndarray) -> Iterator[Assertion]:
    both = np.vstack([log_likelihoods, np.full((1, 2), -2000.0)])
    yield equal("after one more token that both find improbable", f(prior, both), f(prior, log_likelihoods))


# --------------------------------------------------------------------------------------------------------- stage_gains
def by_hand(f: Any, golds: np.ndarray, shift: np.ndarray) -> Iterator[Assertion]:
    rows = []
    for a, b in zip(golds.T[:-1], golds.T[1:], strict=True):
        mean = sum(b - a) / len(a)
        variance = sum((b - a - mean) ** 2) / (len(a) - 1)
        rows.append([mean, (variance / len(a)) ** 0.5])
    yield equal("stage_gains(golds)", f(golds), rows)


def seeds_cancel(f: Any, golds: np.ndarray, shift: np.ndarray) -> Iterator[Assertion]:
    yield equal("gains with a luckier seed", f(golds + shift[:, None]), f(golds))


# ------------------------------------------------------------------------------------------------------- bits_per_byte
def splitting(f: Any, nll: np.ndarray, size: np.ndarray) -> Iterator[Assertion]:
    finer = np.append(nll, 1.0), np.append(size, 1)
    coarser = np.append(nll[:-1], nll[-1] + 1.0), np.append(size[:-1], size[-1] + 1)
    yield equal("one token cut in two", f(*finer), f(*coarser))


def total(f: Any, nll: np.ndarray, size: np.ndarray) -> Iterator[Assertion]:
    yield equal("bits_per_byte(nll, size)", f(nll, size), sum(nll) / np.log(2) / sum(size))


CHECKS = [
    Check(
        "expert_share",
        [Property("E1", "mixing with that share gives back the rate", "w = (1 - s) w_u + s w_e", rates(), mixes_back)],
        hints=[
            "Write the rate of the web as a mixture of the two others and solve for the share.",
            "share = (seen - users) / (experts - users), then np.clip.",
        ],
    ),
    Check(
        "author_posterior",
        [
            Property("E2", "Bayes' rule", "p(k | c) = p(k) prod_t p(c_t | k) / Z", authors(), one_by_one),
            Property(
                "E3",
                "evidence that all authors share says nothing, however improbable it is",
                "p(k | c, d) = p(k | c) if p(d | k) is the same for all k",
                authors(),
                common_factor,
            ),
        ],
        hints=[
            "Add logarithms over tokens, the prior's too, and exponentiate last.",
            "exp(-2000) is 0, and 0 / 0 is NaN: subtract the largest logarithm before you exponentiate.",
        ],
    ),
    Check(
        "stage_gains",
        [
            Property("E4", "mean and standard error of paired differences", "sd(b - a) / sqrt(N)", seeds(), by_hand),
            Property(
                "E5",
                "what a seed does to all its stages cancels",
                "gains(g + shift of the seed) = gains(g)",
                seeds(),
                seeds_cancel,
            ),
        ],
        hints=[
            "np.diff(golds, axis=1) is [N, S - 1]. Why not take means first?",
            "The standard error is std(ddof=1) / sqrt(N) of those differences.",
        ],
    ),
    Check(
        "bits_per_byte",
        [
            Property(
                "E6",
                "cutting a token in two, with the same total probability, changes nothing",
                "f(nll_1 + nll_2, size_1 + size_2) = f((nll_1, nll_2), (size_1, size_2))",
                texts(),
                splitting,
            ),
            Property("E7", "bits of the text over its bytes", "sum nll / (ln 2 sum size)", texts(), total),
        ],
        bug="E6",
        hints=[
            "The measure is to be the same for every tokenizer. What may a tokenizer change?",
            "Take a text of two bytes: one token of 2 nats, or two tokens of 0 and 2 nats.",
            "A mean of ratios is not the ratio of sums.",
        ],
    ),
]
