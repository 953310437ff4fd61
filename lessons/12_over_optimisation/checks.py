"""What the answers of lesson 12 are held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.laws.law import Assertion, at_most, equal, slope
from minipost.laws.strategies import numbers

coefficients = numbers(0.2, 3.0, often=[1.0, 2.0])
distances = st.lists(st.integers(1, 12), min_size=3, max_size=6, unique=True).map(lambda x: np.sort(x) / 4)


# ------------------------------------------------------------------------------------------------------------- fit_bon
def finds_its_own(f: Any, d: np.ndarray, a: float, b: float) -> Iterator[Assertion]:
    yield equal("fit_bon of a curve of that form", np.array(f(d, d * (a - b * d))), np.array([a, b]))


@st.composite
def curves(draw: Any) -> dict[str, Any]:
    d = draw(distances)
    return {"d": d, "gain": np.array([float(draw(st.integers(-2, 4))) for _ in d])}


def leaves_nothing_to_explain(f: Any, d: np.ndarray, gain: np.ndarray) -> Iterator[Assertion]:
    a, b = f(d, gain)
    rest = gain - d * (a - b * d)
    yield equal("<rest, d>", rest @ d, 0.0, tolerance=1e-6)
    yield equal("<rest, d^2>", rest @ d**2, 0.0, tolerance=1e-6)


# --------------------------------------------------------------------------------------------------------------- peaks
def are_flat(f: Any, a: float, b: float) -> Iterator[Assertion]:
    bon, rl = f(a, b)
    h = 1e-5 * rl
    yield slope("the slope of d (a - b d) there", a - 2 * b * bon, 0.0)
    yield slope(
        "the slope of d (a - b log d) there",
        ((rl + h) * (a - b * np.log(rl + h)) - (rl - h) * (a - b * np.log(rl - h))) / (2 * h),
        0.0,
    )


# ------------------------------------------------------------------------------------------------------------- optimum
@st.composite
def prompts(draw: Any) -> dict[str, Any]:
    N = draw(st.integers(2, 3))
    weights = np.array([float(draw(st.integers(1, 4))) for _ in range(N)])
    far = draw(st.sampled_from([1.0, 1.0, 1e4]))
    rewards = far * np.array([float(draw(st.integers(-1, 2))) for _ in range(N)])
    return {"ref_logps": np.log(weights / weights.sum()), "rewards": rewards, "beta": draw(st.sampled_from([1.0, 0.5]))}


def is_a_policy(f: Any, ref_logps: np.ndarray, rewards: np.ndarray, beta: float) -> Iterator[Assertion]:
    yield equal("the sum of its probabilities", np.exp(f(ref_logps, rewards, beta)).sum(), 1.0)
    yield equal("with all rewards equal", f(ref_logps, np.full(len(rewards), 3.0), beta), ref_logps)


def is_the_best(f: Any, ref_logps: np.ndarray, rewards: np.ndarray, beta: float) -> Iterator[Assertion]:
    def objective(logps: np.ndarray) -> float:
        p = np.exp(logps)
        return float(np.sum(p * (rewards - beta * np.where(p > 0, logps - ref_logps, 0.0))))

    best = objective(f(ref_logps, rewards, beta))
    for i in range(len(rewards)):  # a step towards each response, and the reference itself
        near = 0.9 * np.exp(f(ref_logps, rewards, beta)) + 0.1 * (np.arange(len(rewards)) == i)
        with np.errstate(divide="ignore"):
            yield at_most("J of a policy nearby", objective(np.log(near)), best)
    yield at_most("J of the reference", objective(ref_logps), best)


CHECKS = [
    Check(
        "fit_bon",
        [
            Property(
                "E1",
                "a curve of the form gives its own numbers back",
                "fit(d (a - b d)) = (a, b)",
                st.fixed_dictionaries({"d": distances, "a": coefficients, "b": coefficients}),
                finds_its_own,
            ),
            Property(
                "E2",
                "what is left over is orthogonal to both columns",
                "<rest, d> = <rest, d^2> = 0",
                curves(),
                leaves_nothing_to_explain,
            ),
        ],
        hints=[
            "It is linear in a and b: which column belongs to each?",
            "gain = a * d + b * (-d^2).",
            "np.linalg.lstsq(columns, gain, rcond=None)[0], with columns of shape [K, 2].",
        ],
    ),
    Check(
        "peaks",
        [
            Property(
                "E3",
                "at its peak a curve is flat",
                "dR/dd = 0",
                st.fixed_dictionaries({"a": coefficients, "b": coefficients}),
                are_flat,
            )
        ],
        hints=[
            "Differentiate both forms with respect to d.",
            "The derivative of d log d is log d + 1.",
            "a - 2 b d = 0, and a - b log d - b = 0.",
        ],
    ),
    Check(
        "optimum",
        [
            Property(
                "E4", "it is a policy, and the reference if all rewards are equal", "sum pi = 1", prompts(), is_a_policy
            ),
            Property("P69", "no policy has a higher J", "J(pi) <= J(pi*) = beta log Z", prompts(), is_the_best),
        ],
        hints=[
            "Rafailov et al. 2023, eq. 4: each response's log-probability is raised by reward / beta, less a constant.",
            "The constant is log Z, which makes the probabilities sum to 1.",
            "np.logaddexp.reduce(x) is log(sum(exp(x))) without overflow.",
        ],
    ),
    Check(
        "penalised_rewards",
        "ppo.token_rewards",
        bug="P42",
        hints=[
            "Sum a response's rewards. What should they be, with log-ratios of both signs?",
            "sum_t r_t = score - beta * (sum of log-ratios). In the counterexample one token is less likely than "
            "before.",
            "An estimate of KL from one sample may be negative. Their mean is a KL only if they are left as they are.",
        ],
    ),
]
