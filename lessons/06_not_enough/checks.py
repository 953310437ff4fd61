"""What the answers of lesson 6 are held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.laws.law import Assertion, at_least, equal

SMALL = 1e-4


# ---------------------------------------------------------------------------------------------------------- best_clone
def clone_loss(counts: np.ndarray, p: np.ndarray) -> float:
    """-sum q log p over the answers that were demonstrated."""
    shown = counts > 0
    return float(-np.sum(counts[shown] / counts.sum() * np.log(np.maximum(p[shown], 1e-300))))


demonstrated = st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any).map(lambda x: np.array(x, float))


def is_least(f: Any, counts: np.ndarray) -> Iterator[Assertion]:
    p = np.asarray(f(counts.copy()), float)
    yield equal("the sum of best_clone(counts)", p.sum(), 1.0)
    yield at_least("the smallest probability", p.min(), 0.0)
    for i in range(len(counts)):  # moving a little mass to any answer does not help
        moved = (1 - SMALL) * p + SMALL * np.eye(len(counts))[i]
        yield at_least(f"the loss with more mass on answer {i}", clone_loss(counts, moved), clone_loss(counts, p))


# ------------------------------------------------------------------------------------------------------- pooled_margin
@st.composite
def populations(draw: Any) -> dict[str, Any]:
    """Two or three populations with whole margins."""
    G = draw(st.integers(1, 3))
    weights = np.array([draw(st.integers(1, 3)) for _ in range(G)], float)
    margins = np.array([draw(st.integers(-3, 3)) for _ in range(G)], float)
    return {"margins": margins, "shares": weights / weights.sum()}


def balances(f: Any, margins: np.ndarray, shares: np.ndarray) -> Iterator[Assertion]:
    d = f(margins.copy(), shares.copy())
    wins = sum(s / (1 + np.exp(-m)) for m, s in zip(margins, shares, strict=True))
    yield equal("sigmoid(pooled_margin)", 1 / (1 + np.exp(-d)), wins)


def turns_around(f: Any, margins: np.ndarray, shares: np.ndarray) -> Iterator[Assertion]:
    yield equal("pooled_margin with the answers swapped", f(-margins, shares.copy()), -f(margins.copy(), shares.copy()))


# ----------------------------------------------------------------------------------------------------------- regret_of
@st.composite
def choices(draw: Any) -> dict[str, Any]:
    """One or two populations, questions, answers; rewards without ties."""
    G, Q, K = (draw(st.integers(1, 2)) for _ in range(3))
    rewards = np.array([draw(st.permutations(range(K))) for _ in range(Q)], float)
    cells = draw(st.lists(st.integers(-2, 2), min_size=G * Q * K, max_size=G * Q * K))
    return {"rewards": rewards, "utilities": np.array(cells, float).reshape(G, Q, K)}


def loses_what_is_missing(f: Any, rewards: np.ndarray, utilities: np.ndarray) -> Iterator[Assertion]:
    G, Q, K = utilities.shape
    wanted = []
    for g in range(G):
        lost = 0.0
        for q in range(Q):
            given = max(range(K), key=lambda k: rewards[q, k])
            lost += max(utilities[g, q]) - utilities[g, q, given]
        wanted.append(lost / Q)
    yield equal("regret_of(rewards, utilities)", f(rewards.copy(), utilities.copy()), wanted)


# ----------------------------------------------------------------------------------------------------------- harm_rate
@st.composite
def requests(draw: Any) -> dict[str, Any]:
    """Up to three requests, each harmful or not, and whether it was fulfilled."""
    N = draw(st.integers(1, 3))
    return {name: np.array([draw(st.integers(0, 1)) for _ in range(N)], float) for name in ("harmful", "complied")}


def ignores_the_harmless(f: Any, harmful: np.ndarray, complied: np.ndarray) -> Iterator[Assertion]:
    before = f(harmful.copy(), complied.copy())
    yield equal("harm_rate with one harmless request more", f(np.append(harmful, 0), np.append(complied, 1)), before)


def is_a_share(f: Any, harmful: np.ndarray, complied: np.ndarray) -> Iterator[Assertion]:
    count = sum(h == 1 for h in harmful)
    done = sum(h == 1 and c == 1 for h, c in zip(harmful, complied, strict=True))
    yield equal("harm_rate(harmful, complied)", f(harmful.copy(), complied.copy()), done / count if count else 0.0)


CHECKS = [
    Check(
        "best_clone",
        [
            Property(
                "E1",
                "a distribution, and no other one has a lower loss",
                "-sum q log p >= -sum q log p*",
                st.fixed_dictionaries({"counts": demonstrated}),
                is_least,
            )
        ],
        hints=["The gradient with respect to the logits is p - q.", "At the minimum p = q. What is q?"],
    ),
    Check(
        "pooled_margin",
        [
            Property(
                "E2",
                "at the minimum the model wins as often as the pool does",
                "sigmoid(d*) = sum_k s_k sigmoid(m_k)",
                populations(),
                balances,
            ),
            Property("E3", "swapping the two answers turns the sign", "d*(-m) = -d*(m)", populations(), turns_around),
        ],
        hints=[
            "How often does the first answer win in the pool?",
            "The loss of section 4 has its minimum at ln((1 - e) / e). Which e is this?",
            "Average probabilities, not margins.",
        ],
    ),
    Check(
        "regret_of",
        [
            Property(
                "E4",
                "regret is the best utility minus that of the one answer that everybody gets",
                "mean_q (max_k u[g, q, k] - u[g, q, argmax r[q]])",
                choices(),
                loses_what_is_missing,
            )
        ],
        hints=[
            "The answer given to a question is the same for all populations.",
            "np.take_along_axis(utilities, given[None, :, None], axis=2) has shape [G, Q, 1].",
        ],
    ),
    Check(
        "harm_rate",
        [
            Property(
                "E5",
                "harmless requests do not change the rate of harm",
                "rate(x, one harmless) = rate(x)",
                requests(),
                ignores_the_harmless,
            ),
            Property(
                "E6",
                "of harmful requests it is the share fulfilled",
                "rate = fulfilled / harmful",
                requests(),
                is_a_share,
            ),
        ],
        bug="E5",
        hints=[
            "Add one harmless request and look at the number.",
            "By what does np.mean divide?",
            "A share needs the right denominator: the number of harmful requests.",
        ],
    ),
]
