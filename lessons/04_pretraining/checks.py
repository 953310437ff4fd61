"""What the answers of lesson 4 are held to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.laws.law import Assertion, at_least, equal

DOCUMENT = 9


# ---------------------------------------------------------------------------------------------------------- pair_model
@st.composite
def counts(draw: Any) -> dict[str, Any]:
    """Small tables of counts, rows of zeros among them."""
    V = draw(st.integers(1, 4))
    cells = draw(st.lists(st.integers(0, 3), min_size=V * V, max_size=V * V))
    return {"pairs": np.array(cells, float).reshape(V, V)}


def is_a_distribution(f: Any, pairs: np.ndarray) -> Iterator[Assertion]:
    p = f(pairs.copy())
    yield equal("the sums of pair_model(pairs) over b", np.sum(p, axis=1), np.ones(len(pairs)))
    yield at_least("pair_model(pairs)", p, 1e-9)


def mixes(f: Any, pairs: np.ndarray) -> Iterator[Assertion]:
    V, p = len(pairs), f(pairs.copy())
    for a in range(V):
        kinds = max(1, sum(pairs[a, b] > 0 for b in range(V)))
        for b in range(V):
            single = (sum(pairs[c, b] for c in range(V)) + 1) / (pairs.sum() + V)
            yield equal(f"p({b} | {a})", p[a, b], (pairs[a, b] + kinds * single) / (pairs[a].sum() + kinds))


# ----------------------------------------------------------------------------------------------------------- dice_nats
@st.composite
def throws(draw: Any) -> dict[str, Any]:
    """Up to two throws with few outcomes, which can be written down one by one."""
    sizes = draw(st.lists(st.integers(1, 4), max_size=2))
    return {"throws": [(n, draw(st.integers(0, n))) for n in sizes]}


def counts_outcomes(f: Any, throws: list[tuple[int, int]]) -> Iterator[Assertion]:
    outcomes = math.prod(len(list(permutations(range(n), k))) for n, k in throws)
    yield equal("dice_nats(throws)", f(throws), math.log(outcomes))


# ----------------------------------------------------------------------------------------------------- document_starts
@st.composite
def windows(draw: Any) -> dict[str, Any]:
    """Rows of a stream; 9 opens a document."""
    B, T = draw(st.integers(1, 2)), draw(st.integers(1, 4))
    cells = draw(st.lists(st.sampled_from([0, DOCUMENT]), min_size=B * T, max_size=B * T))
    return {"tokens": np.array(cells).reshape(B, T)}


def rows_are_apart(f: Any, tokens: np.ndarray) -> Iterator[Assertion]:
    whole = f(tokens.copy(), DOCUMENT)
    for b in range(len(tokens)):
        alone = f(tokens[b : b + 1].copy(), DOCUMENT)
        yield equal(f"the starts of row {b}, in the batch and alone", whole[b], alone[0])


def walls_stand(f: Any, tokens: np.ndarray) -> Iterator[Assertion]:
    found = f(tokens[:1].copy(), DOCUMENT)[0]
    for column in range(tokens.shape[1]):
        opened = [c for c in range(column + 1) if tokens[0, c] == DOCUMENT]
        yield equal(f"the start of column {column}", found[column], opened[-1] if opened else 0)


CHECKS = [
    Check(
        "cross_entropy",
        "sft.cross_entropy",
        hints=[
            "log softmax(z) = z - log sum exp z. Where does exp overflow, and what may you subtract first?",
            "np.take_along_axis picks one entry of each row, but -100 is no entry: replace it where the mask is 0.",
            "For the sequence mean, average each row over its own counted tokens, then over the rows that have any.",
        ],
    ),
    Check(
        "pair_model",
        [
            Property(
                "E1",
                "every row is a distribution without zeros",
                "sum_b p(b | a) = 1, p > 0",
                counts(),
                is_a_distribution,
            ),
            Property(
                "E2",
                "a pair's share is mixed with its second token's",
                "p(b | a) = (n(a, b) + kinds(a) p(b)) / (n(a) + kinds(a))",
                counts(),
                mixes,
            ),
        ],
        hints=["Column sums give n(b).", "keepdims=True keeps kinds(a) a column, so that it divides rows."],
    ),
    Check(
        "dice_nats",
        [
            Property(
                "E3",
                "the cost of equally likely outcomes is the log of their number",
                "nats = log(outcomes)",
                throws(),
                counts_outcomes,
            )
        ],
        hints=["One draw among n costs log n.", "After the first draw one thing is gone: the next costs log(n - 1)."],
    ),
    Check(
        "document_starts",
        [
            Property(
                "E4",
                "a row knows nothing of the row above it",
                "starts(batch)[b] = starts(row b)",
                windows(),
                rows_are_apart,
            ),
            Property(
                "E5",
                "a token's document begins at the last opening before it",
                "start[t] = max {s <= t: opens(s)}",
                windows(),
                walls_stand,
            ),
        ],
        bug="E4",
        hints=[
            "A single row is always right: try two.",
            "What is the start of a row that begins in the middle of a document, below a row that has an opening?",
            "np.maximum.accumulate takes an axis.",
        ],
    ),
]
