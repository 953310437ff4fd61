"""What the answers of lesson 1 are held to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.laws.law import Assertion, equal, slope
from minipost.laws.strategies import small_array

STEP = 1e-6


def difference(function: Callable[[np.ndarray], np.ndarray], g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The gradient of <g, function(x)> by central differences."""
    out = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        nudge = np.zeros_like(x)
        nudge[index] = STEP
        out[index] = np.sum(g * (function(x + nudge) - function(x - nudge))) / (2 * STEP)
    return out


# -------------------------------------------------------------------------------------------------------- softplus_vjp
def as_differences(f: Any, g: np.ndarray, x: np.ndarray) -> Iterator[Assertion]:
    yield slope("softplus_vjp(g, x)", f(g, x), difference(lambda x: np.logaddexp(0, x), g, x))


def far_out(f: Any, x: float) -> Iterator[Assertion]:
    with np.errstate(all="raise"):
        yield equal("softplus_vjp(1, x)", f(np.ones(1), np.array([x])), [float(x > 0)])


# --------------------------------------------------------------------------------------------------------- unbroadcast
@st.composite
def repeated(draw: Any) -> dict[str, Any]:
    shape = draw(st.sampled_from([(2,), (1,), (), (2, 1), (1, 2), (2, 3)]))
    larger = draw(st.sampled_from([s for s in [(2,), (2, 2), (2, 3), (3, 2), (2, 2, 3)] if fits(shape, s)]))
    return {"g": draw(small_array(*larger)), "x": draw(small_array(*shape))}


def fits(shape: tuple[int, ...], larger: tuple[int, ...]) -> bool:
    return len(shape) <= len(larger) and all(a in (1, b) for a, b in zip(shape[::-1], larger[::-1], strict=False))


def has_the_shape(f: Any, g: np.ndarray, x: np.ndarray) -> Iterator[Assertion]:
    yield equal("the shape of unbroadcast(g, shape)", list(np.shape(f(g, x.shape))) or [0], list(x.shape) or [0])


def is_the_transpose(f: Any, g: np.ndarray, x: np.ndarray) -> Iterator[Assertion]:
    yield equal("<unbroadcast(g), x>", np.sum(f(g, x.shape) * x), np.sum(g * np.broadcast_to(x, g.shape)))


# ---------------------------------------------------------------------------------------------------------- accumulate
@st.composite
def graphs(draw: Any) -> dict[str, Any]:
    """Up to five nodes; every node but the first has one or two parents."""
    count = draw(st.integers(1, 5))
    edges = [
        [(draw(st.integers(0, i - 1)), float(draw(st.integers(1, 3)))) for _ in range(draw(st.integers(1, 2)))]
        for i in range(1, count)
    ]
    return {"parents": [[], *edges]}


def sums_over_paths(f: Any, parents: list[list[tuple[int, float]]]) -> Iterator[Assertion]:
    def along_paths(i: int) -> float:
        """The sum over all paths from node i to the last of the product of their slopes."""
        if i == len(parents) - 1:
            return 1.0
        return sum(s * along_paths(k) for k in range(len(parents)) for j, s in parents[k] if j == i)

    yield equal("accumulate(parents)", f(parents), [along_paths(i) for i in range(len(parents))])


# ----------------------------------------------------------------------------------------------------- log_softmax_vjp
def log_softmax(z: np.ndarray) -> np.ndarray:
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def ignores_shifts(f: Any, g: np.ndarray, logits: np.ndarray) -> Iterator[Assertion]:
    yield equal("log_softmax_vjp(g, logits) summed over V", f(g, logits).sum(axis=-1), np.zeros(len(g)))


def of_logits(f: Any, g: np.ndarray, logits: np.ndarray) -> Iterator[Assertion]:
    yield slope("log_softmax_vjp(g, logits)", f(g, logits), difference(log_softmax, g, logits))


CHECKS = [
    Check(
        "softplus_vjp",
        [
            Property(
                "E1",
                "the derivative of softplus is the sigmoid",
                "vjp(g) = g / (1 + exp(-x))",
                st.fixed_dictionaries({"g": small_array(2), "x": small_array(2)}),
                as_differences,
            ),
            Property(
                "E2",
                "far out it is 0 or 1, without overflow",
                "vjp(1) = [x > 0] for |x| >= 100",
                st.fixed_dictionaries({"x": st.sampled_from([100.0, -100.0, 1000.0, -1000.0])}),
                far_out,
            ),
        ],
        hints=[
            "Differentiate log(1 + exp(x)) by hand.",
            "It is g * sigmoid(x). Where does exp overflow in your sigmoid?",
            "sigmoid(x) = (1 + tanh(x / 2)) / 2.",
        ],
    ),
    Check(
        "unbroadcast",
        [
            Property("E3", "a gradient has the shape of its array", "shape = shape", repeated(), has_the_shape),
            Property(
                "E4",
                "summing is the transpose of repeating",
                "<unbroadcast(g), x> = <g, broadcast(x)>",
                repeated(),
                is_the_transpose,
            ),
        ],
        hints=[
            "A number that was used three times receives the sum of three gradients.",
            "NumPy adds axes in front, and stretches axes of length 1: sum over both kinds.",
            "g.sum(axis=tuple(range(g.ndim - len(shape)))) does the first; the second needs keepdims=True.",
        ],
    ),
    Check(
        "accumulate",
        [
            Property(
                "E5",
                "a gradient is the sum over all paths of the product of slopes",
                "dz/dx = sum over paths, prod over edges",
                graphs(),
                sums_over_paths,
            )
        ],
        hints=[
            "Start with 1 at the last node and go backwards.",
            "Add to a parent's gradient, never assign: it may be used elsewhere, too.",
        ],
    ),
    Check(
        "log_softmax_vjp",
        [
            Property(
                "E6",
                "adding a constant to all logits changes nothing, so no gradient points that way",
                "sum_v vjp(g)_v = 0",
                st.fixed_dictionaries({"g": small_array(1, 2), "logits": small_array(1, 2)}),
                ignores_shifts,
            ),
            Property(
                "E7",
                "it is what differences say",
                "<vjp(g), e> = <g, f(z + h e) - f(z - h e)> / 2h",
                st.fixed_dictionaries({"g": small_array(2, 3), "logits": small_array(2, 3)}),
                of_logits,
            ),
        ],
        bug="E6",
        hints=[
            "Run the check and work its counterexample out by hand: two logits are enough.",
            "How does the *first* output depend on the *second* logit?",
            "d log p_i / d z_j = [i = j] - p_j. Sum over i, with weights g_i.",
        ],
    ),
]
