"""What the answers of lesson 10 are held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.laws.law import Assertion, at_least, equal


@st.composite
def small_worlds(draw: Any, largest: float = 3.0) -> dict[str, Any]:
    """Two to four responses: a reference, rewards, beta."""
    count = draw(st.integers(2, 4))
    logits, rewards = (
        np.array(draw(st.lists(st.integers(-3, 3), min_size=count, max_size=count)), float) for _ in range(2)
    )
    ref = logits - np.logaddexp.reduce(logits)
    return {"ref_logps": ref, "rewards": rewards * largest / 3, "beta": draw(st.sampled_from([1.0, 0.5, 2.0]))}


def objective(logps: np.ndarray, ref_logps: np.ndarray, rewards: np.ndarray, beta: float) -> float:
    return float(np.exp(logps) @ (rewards - beta * (logps - ref_logps)))


def is_a_distribution(f: Any, ref_logps: np.ndarray, rewards: np.ndarray, beta: float) -> Iterator[Assertion]:
    yield equal("sum of exp(best_policy)", np.exp(f(ref_logps, rewards, beta)).sum(), 1.0)


def is_the_best(f: Any, ref_logps: np.ndarray, rewards: np.ndarray, beta: float) -> Iterator[Assertion]:
    best = f(ref_logps, rewards, beta)
    bound = beta * np.logaddexp.reduce(ref_logps + rewards / beta)
    yield at_least("E r - beta KL of best_policy", objective(best, ref_logps, rewards, beta), bound)


def gives_the_reward_back(f: Any, ref_logps: np.ndarray, rewards: np.ndarray, beta: float) -> Iterator[Assertion]:
    implicit = beta * (f(ref_logps, rewards, beta) - ref_logps)
    yield equal("beta log(pi / ref), differences", np.diff(implicit), np.diff(rewards))


CHECKS = [
    Check(
        "best_policy",
        [
            Property("E1", "it is a distribution", "sum exp(log pi) = 1", small_worlds(), is_a_distribution),
            Property(
                "P69",
                "nothing is better: J = beta log Z",
                "E r - beta KL >= beta log sum ref exp(r / beta)",
                small_worlds(),
                is_the_best,
            ),
            Property(
                "E2",
                "its log-ratios give the rewards back, also large ones",
                "beta diff(log pi - log ref) = diff r",
                small_worlds(3000.0),
                gives_the_reward_back,
            ),
        ],
        hints=[
            "Write the objective as -beta KL(pi || something) + a constant. What is something?",
            "pi* is proportional to ref * exp(r / beta).",
            "Normalise in logs: np.logaddexp.reduce.",
        ],
    ),
    Check(
        "dpo_loss",
        "dpo.sigmoid",
        hints=[
            "h is the chosen answer's log-ratio minus the rejected one's; each answer against its own reference.",
            "-log(sigmoid(z)) overflows for z = -1000; log(1 + exp(-z)) has a name in NumPy.",
            "np.logaddexp(0, -z), and its mirror image times the label smoothing.",
        ],
    ),
    Check(
        "ipo_loss",
        "dpo.ipo",
        hints=["The minimum is at h = 1 / (2 beta).", "At pi = ref, h is 0 and the loss 1 / (4 beta^2)."],
    ),
    Check(
        "sequence_logps",
        "sequence_logps",
        bug="P1",
        hints=[
            "Take one row of three tokens, the last two the response, and do it by hand.",
            "labels[:, t] is tokens[:, t + 1]. Whose mask does it need?",
            "As it is, it counts the last token of the prompt and leaves out the end of the response.",
        ],
    ),
]
