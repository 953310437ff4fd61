"""What the answers of lesson 2 are held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.kernels import attention, rope
from minipost.laws.law import Assertion, equal
from minipost.laws.strategies import small_array


def at(x: np.ndarray, position: int, base: float = 10000.0) -> np.ndarray:
    """x[D] turned by the package."""
    cos, sin = rope.table(position + 1, len(x), base, float)
    return rope.reference(x[None, None], np.array([position]), cos, sin)[0, 0]


# ------------------------------------------------------------------------------------------------------------- visible
starts = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(
    lambda sizes: np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
)


def not_the_future(f: Any, start: np.ndarray) -> Iterator[Assertion]:
    yield equal(
        "visible(start) above the diagonal", np.triu(np.asarray(f(start), float), 1), np.zeros((len(start),) * 2)
    )


def not_another_document(f: Any, start: np.ndarray) -> Iterator[Assertion]:
    mask = np.asarray(f(start), float)
    for i, first in enumerate(start):
        yield equal(
            f"visible(start)[{i}], before its document and from it on", mask[i, : i + 1], np.arange(i + 1) >= first
        )


# -------------------------------------------------------------------------------------------------------------- rotate
def keeps_lengths(f: Any, x: np.ndarray, position: int) -> Iterator[Assertion]:
    yield equal("|rotate(x, position)|^2", np.sum(np.asarray(f(x, position)) ** 2), np.sum(x**2))


def knows_distances_only(f: Any, x: np.ndarray, y: np.ndarray, i: int, j: int, shift: int) -> Iterator[Assertion]:
    there = np.dot(f(x, i + shift), f(y, j + shift))
    yield equal("<rotate(x, i + s), rotate(y, j + s)>", there, np.dot(f(x, i), f(y, j)))


def lies_in_halves(f: Any, x: np.ndarray, position: int) -> Iterator[Assertion]:
    yield equal("rotate(x, position)", f(x, position), at(x, position))


# --------------------------------------------------------------------------------------------------------------- merge
@st.composite
def blocks(draw: Any) -> dict[str, Any]:
    sizes = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    scores = [
        np.array(draw(st.lists(st.sampled_from([0.0, 1.0, -1.0, 1000.0]), min_size=n, max_size=n))) for n in sizes
    ]
    return {"scores_a": scores[0], "scores_b": scores[1], "values": draw(small_array(sum(sizes), 2))}


def whole(scores: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, float]:
    lse = float(np.logaddexp.reduce(scores))
    return np.exp(scores - lse) @ values, lse


def is_the_whole(f: Any, scores_a: np.ndarray, scores_b: np.ndarray, values: np.ndarray) -> Iterator[Assertion]:
    n = len(scores_a)
    with np.errstate(over="raise", invalid="raise"):
        out, lse = f(*whole(scores_a, values[:n]), *whole(scores_b, values[n:]))
    expected = whole(np.concatenate([scores_a, scores_b]), values)
    yield equal("lse of merge(a, b)", lse, expected[1])
    yield equal("out of merge(a, b)", out, expected[0])


# ------------------------------------------------------------------------------------------------------- cached_answer
rows = st.fixed_dictionaries({"q": small_array(3, 2), "k": small_array(3, 2), "v": small_array(3, 2)})


def first_is_alone(f: Any, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> Iterator[Assertion]:
    nothing = np.zeros((0, q.shape[1]))
    yield equal("cached_answer of a row's first token", f(q[0], k[0], v[0], nothing, nothing), v[0])


def cached_is_uncached(f: Any, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> Iterator[Assertion]:
    last = len(q) - 1
    turned_q, turned_k = (np.array([at(x[i], i) for i in range(len(x))]) for x in (q, k))
    row = [x[None, :, None] for x in (turned_q, turned_k, v)]  # [1, T, 1, D]
    uncached = attention.reference(*row, np.zeros((1, len(q)), np.int64))[0, last, 0]
    yield equal("cached_answer of the last of three", f(q[last], k[last], v[last], turned_k[:last], v[:last]), uncached)


spot = st.fixed_dictionaries({"x": small_array(4), "position": st.integers(0, 9)})
CHECKS = [
    Check(
        "visible",
        [
            Property(
                "E1",
                "nobody sees the future",
                "visible_ij = 0 for j > i",
                st.fixed_dictionaries({"start": starts}),
                not_the_future,
            ),
            Property(
                "E2",
                "all of one's own document up to here, nothing of another",
                "visible_ij = [start_i <= j] for j <= i",
                st.fixed_dictionaries({"start": starts}),
                not_another_document,
            ),
        ],
        hints=[
            "Two conditions on j for each i, joined by &.",
            "np.arange(T) along the columns, [:, None] turns an array into rows.",
        ],
    ),
    Check(
        "rotate",
        [
            Property("E3", "turning changes no length", "|R_i x| = |x|", spot, keeps_lengths),
            Property(
                "E4",
                "products know distances only",
                "<R_(i+s) x, R_(j+s) y> = <R_i x, R_j y>",
                st.fixed_dictionaries(
                    {
                        "x": small_array(4),
                        "y": small_array(4),
                        "shift": st.integers(0, 3),
                        "i": st.integers(0, 4),
                        "j": st.integers(0, 4),
                    }
                ),
                knows_distances_only,
            ),
            Property("E5", "planes are halves, as in Llama's checkpoints", "planes (d, d + D/2)", spot, lies_in_halves),
        ],
        hints=[
            "One angle a plane: an array of D/2 of them.",
            "(a, b) turned by t is (a cos t - b sin t, b cos t + a sin t).",
            "a is x[:D//2] and b is x[D//2:]; neighbouring channels would be another convention.",
        ],
    ),
    Check(
        "merge",
        [
            Property(
                "E6",
                "in blocks or at once, attention is the same",
                "merge(a, b) = attention(a and b)",
                blocks(),
                is_the_whole,
            )
        ],
        hints=[
            "What share of the total weight does block a hold?",
            "lse = log(exp(lse_a) + exp(lse_b)); NumPy has a function for this that cannot overflow.",
            "out = exp(lse_a - lse) * out_a + exp(lse_b - lse) * out_b.",
        ],
    ),
    Check(
        "cached_answer",
        [
            Property("E7", "the first token sees itself alone", "answer = v_0", rows, first_is_alone),
            Property("E8", "with a cache as without one", "cached = uncached", rows, cached_is_uncached),
        ],
        bug="E8",
        hints=[
            "The scores are smooth and sensible. Are they those of the right distances?",
            "At which position does the new key stand, and at which the new query?",
            "keys grows before it is measured the second time.",
        ],
    ),
]
