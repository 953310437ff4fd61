"""What the answers of lesson 7 are held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.laws.law import Assertion, at_least, equal, slope
from minipost.laws.strategies import numbers

gaps = st.lists(st.integers(-3, 3), min_size=1, max_size=3).map(lambda x: np.array(x, float))
temperatures = st.sampled_from([1.0, 0.5, 2.0])
rates = numbers(0.01, 0.5, often=[0.25, 0.1])


# -------------------------------------------------------------------------------------------------- informed_agreement
def counts_labels(f: Any, gaps: np.ndarray, temperature: float, noise: float) -> Iterator[Assertion]:
    """What each of the two outcomes is worth to whoever names the better one."""
    expected = 0.0
    for gap in gaps:
        first = (1 - noise) / (1 + np.exp(-gap / temperature)) + noise / 2
        expected += (first if gap > 0 else 1 - first) / len(gaps)
    yield equal("informed_agreement", f(gaps, temperature, noise), expected)


def never_below_a_coin(f: Any, gaps: np.ndarray, temperature: float, noise: float) -> Iterator[Assertion]:
    yield at_least("informed_agreement", f(gaps, temperature, noise), 0.5)
    yield equal("informed_agreement of a coin", f(gaps, temperature, 1.0), 0.5)


# ----------------------------------------------------------------------------------------------------- best_difference
def is_flat_there(f: Any, flipped: float) -> Iterator[Assertion]:
    d, h = f(flipped), 1e-5

    def loss(d: float) -> float:
        return (1 - flipped) * np.logaddexp(0, -d) + flipped * np.logaddexp(0, d)

    yield slope("the slope of the expected loss at best_difference(e)", (loss(d + h) - loss(d - h)) / (2 * h), 0.0)


# ---------------------------------------------------------------------------------------------------------- end_scores
@st.composite
def padded(draw: Any) -> dict[str, Any]:
    """One or two sequences of hidden states, C = 1, padded at either side."""
    T = draw(st.integers(1, 4))
    rows, masks = [], []
    for _ in range(draw(st.integers(1, 2))):
        start = draw(st.integers(0, T - 1))
        stop = draw(st.integers(start + 1, T))
        rows.append([float(draw(st.integers(1, 9))) for _ in range(T)])
        masks.append([int(start <= t < stop) for t in range(T)])
    return {"hidden": np.array(rows)[:, :, None], "mask": np.array(masks), "head": np.ones(1)}


def does_not_see_padding(f: Any, hidden: np.ndarray, mask: np.ndarray, head: np.ndarray) -> Iterator[Assertion]:
    bare = [row[m != 0][-1] @ head for row, m in zip(hidden, mask, strict=True)]
    yield equal("end_scores", f(hidden, mask, head), np.array(bare))


def stays_with_more_padding(f: Any, hidden: np.ndarray, mask: np.ndarray, head: np.ndarray) -> Iterator[Assertion]:
    score = f(hidden, mask, head)
    more = np.concatenate([hidden, -np.ones_like(hidden[:, :1])], axis=1)
    padding = np.concatenate([mask, np.zeros_like(mask[:, :1])], axis=1)
    yield equal("end_scores with one more pad at the right", f(more, padding, head), score)


labels = st.fixed_dictionaries({"gaps": gaps, "temperature": temperatures, "noise": st.sampled_from([0.0, 0.5, 0.2])})
CHECKS = [
    Check(
        "reward_loss",
        "reward.bradley_terry",
        hints=[
            "-log sigmoid(z) = log(1 + exp(-z)). Which of the two overflows, and where?",
            "np.logaddexp(a, b) = log(exp(a) + exp(b)), safely.",
            "np.logaddexp(0, -(chosen - rejected - margin)).mean(), and the square of the sum, not of the difference.",
        ],
    ),
    Check(
        "informed_agreement",
        [
            Property("E1", "it agrees with the labels that say the same", "mean max(p, 1 - p)", labels, counts_labels),
            Property(
                "E2",
                "knowing never hurts, and a coin cannot be known",
                ">= 1/2; = 1/2 at noise 1",
                labels,
                never_below_a_coin,
            ),
        ],
        hints=[
            "The informed rater always names the better answer. With what probability does one label do so, too?",
            "Only the size of the gap counts.",
            "(1 - noise) sigmoid(|gap| / T) + noise / 2, averaged.",
        ],
    ),
    Check(
        "best_difference",
        [
            Property(
                "P26",
                "the optimum is where the model is as unsure as the labels",
                "d/dd [(1-e) l(d) + e l(-d)] = 0",
                st.fixed_dictionaries({"flipped": rates}),
                is_flat_there,
            )
        ],
        hints=[
            "Set the derivative of (1 - e) softplus(-d) + e softplus(d) to 0.",
            "-(1 - e) sigmoid(-d) + e sigmoid(d) = 0, and sigmoid(-d) = 1 - sigmoid(d).",
            "So sigmoid(d) = 1 - e: d is the logit of that.",
        ],
    ),
    Check(
        "end_scores",
        [
            Property(
                "P24",
                "a score does not depend on where the padding stands",
                "score = head . hidden[last real]",
                padded(),
                does_not_see_padding,
            ),
            Property(
                "E3",
                "one more pad at the right changes nothing",
                "score(x + pad) = score(x)",
                padded(),
                stays_with_more_padding,
            ),
        ],
        bug="P24",
        hints=[
            "Draw the counterexample's mask as boxes. At which column does the function read?",
            "mask.sum() counts the tokens. When is that also where the last one stands?",
            "Look for the last 1 from the right: np.argmax(mask[:, ::-1], axis=1).",
        ],
    ),
]
