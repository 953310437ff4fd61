"""What the answers of lesson 13 are held to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lessons.tools import Check, Property
from minipost.laws.law import Assertion, equal


@st.composite
def masks(draw: Any) -> dict[str, Any]:
    """One to three answers of one to four tokens."""
    lengths = np.array(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    return {"mask": (np.arange(4) < lengths[:, None]).astype(float)}


@st.composite
def groups(draw: Any) -> dict[str, Any]:
    """One to three groups of two or three rewards, small whole numbers."""
    group, count = draw(st.integers(2, 3)), draw(st.integers(1, 3))
    rewards = draw(st.lists(st.integers(0, 3), min_size=group * count, max_size=group * count))
    return {"rewards": np.array(rewards, float), "group": group}


def same_vote_an_answer(f: Any, mask: np.ndarray) -> Iterator[Assertion]:
    weights = f(mask, "sequence")
    yield equal("sum over tokens", weights.sum(axis=1), np.full(len(mask), 1 / len(mask)))
    yield equal("weights at padding", weights[mask == 0], np.zeros(int((mask == 0).sum())))


def same_vote_a_token(f: Any, mask: np.ndarray) -> Iterator[Assertion]:
    yield equal('token_weights(mask, "token")', f(mask, "token"), mask / mask.sum())


def own_group_only(f: Any, rewards: np.ndarray, group: int) -> Iterator[Assertion]:
    """The first answer's mean does not move when other prompts' answers earn more."""
    richer = rewards + np.where(np.arange(len(rewards)) < group, 0.0, 10.0)
    yield equal("means of the first group", f(richer, group)[:group], np.full(group, rewards[:group].mean()))


CHECKS = [
    Check(
        "rloo",
        "rl.rloo",
        hints=[
            "The sum of the others is the sum of all, minus one's own.",
            "Divide by K - 1. What should happen for K = 1?",
            "It is K / (K - 1) times (r - mean); take means in float64.",
        ],
    ),
    Check(
        "grpo",
        "rl.grpo",
        hints=[
            "Mean and std along the last axis, keepdims=True.",
            "The std is the population's (over K), and 1e-4 is added to it outside the root.",
            "10,000.1 in float32 has lost digits already after a sum: convert to float64 first.",
        ],
    ),
    Check(
        "token_weights",
        [
            Property("E1", "every answer has the same vote", "sum_t w_st = 1 / S", masks(), same_vote_an_answer),
            Property("E2", "every token has the same vote", "w_st = m_st / sum m", masks(), same_vote_a_token),
        ],
        hints=[
            "For answers of 2 and 8 tokens: 1/4 and 1/16 each, against 1/10 each.",
            "mask / lengths, and then the mean over answers.",
        ],
    ),
    Check(
        "group_means",
        [
            Property(
                "E3",
                "an answer is compared with answers to its own prompt",
                "mean_i depends on r_j, j in i's group",
                groups(),
                own_group_only,
            )
        ],
        bug="E3",
        hints=[
            "Number the rewards 0, 1, 2, 3 for two prompts with two answers each, and print the table.",
            "Which axis of the table is the prompt's?",
        ],
    ),
]
