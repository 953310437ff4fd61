"""What training longer does to margins (claim 25): they widen, on unseen pairs too, and sooner or later they overstate.

A linear reward model in the micro-world learns from few, noisy comparisons. All pairs of responses that the sampler may
draw are summed up, each with the probability of its label, so nothing about the unseen pairs is estimated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lessons.experiments.claim import claim
from lessons.experiments.lab import Lab
from lessons.experiments.measured.micro_reward import features, fitted, micro_world
from minipost.autograd import Array, sigmoid
from minipost.losses import bradley_terry
from minipost.world.micro import sample_preferences

EARLY, LATE = 10, 1000  # updates
PAIRS = 40  # comparisons a prompt


@dataclass(frozen=True)
class Trained:
    """A reward model after some updates: mean margins of the pairs it learned from (`seen`) and of all (`unseen`), its
    expected loss on all pairs, and its `overconfidence`: the chance of being right that it claims, less what it has."""

    seen: float
    unseen: float
    loss: float
    overconfidence: float


def trained(seed: int, updates: int, pairs: int = PAIRS) -> Trained:
    """A reward model fitted to `pairs` comparisons a prompt by `updates` updates."""
    world = micro_world(seed)
    phi, rng = features(world), np.random.default_rng([seed, 33])
    start = world.response_logps(np.zeros((world.prompts, world.node_count, world.vocab)))
    sample = sample_preferences(rng, start, world.rewards, pairs)
    chosen, rejected = phi[sample.prompt, sample.chosen], phi[sample.prompt, sample.rejected]  # [M, F]
    weights = fitted(lambda w: bradley_terry(chosen @ w, rejected @ w), phi.shape[-1], updates)

    mass = np.exp(start[:, :, None] + start[:, None, :]) / world.prompts  # [P, N, N]
    margin, wins = (_differences(r) for r in (phi @ weights, world.rewards))
    wins = sigmoid(wins)  # P(the first is preferred)
    loss = wins * np.logaddexp(0, -margin) + (1 - wins) * np.logaddexp(0, margin)
    right = np.where(margin > 0, wins, np.where(margin < 0, 1 - wins, 0.5))
    claimed = sigmoid(np.abs(margin))
    return Trained(
        seen=float(((chosen - rejected) @ weights).mean()),
        unseen=float((mass * (2 * wins - 1) * margin).sum()),
        loss=float((mass * loss).sum()),
        overconfidence=float((mass * (claimed - right)).sum()),
    )


def _differences(rewards: Array) -> Array:
    return rewards[:, :, None] - rewards[:, None, :]


@claim(
    25,
    "margins-widen",
    "Does the loss widen the margin, also on pairs that were not trained on?",
    knob="how long it is trained",
    metric="mean margin of unseen pairs, in logits",
    arm="1000 updates",
    control="10 updates",
    expects="up",
    lesson=7,
    seeds=10,
)
def margins_widen(seed: int, lab: Lab) -> dict[str, float]:
    """Mean margins after 10 and after 1000 updates on the same pairs, of those and of all pairs."""
    early, late = trained(seed, EARLY), trained(seed, lab.pick(LATE, 50))
    return {
        "10 updates": early.unseen,
        "1000 updates": late.unseen,
        "10 updates, seen": early.seen,
        "1000 updates, seen": late.seen,
    }


@claim(
    25,
    "late-overconfident",
    "Does training on make a reward model claim more than it knows?",
    knob="how long it is trained",
    metric="claimed less actual chance of being right, on unseen pairs",
    arm="1000 updates",
    control="10 updates",
    expects="up",
    lesson=7,
    seeds=10,
)
def late_overconfident(seed: int, lab: Lab) -> dict[str, float]:
    """Overconfidence after 10 and after 1000 updates on the same pairs."""
    early, late = trained(seed, EARLY), trained(seed, lab.pick(LATE, 50))
    return {"10 updates": early.overconfidence, "1000 updates": late.overconfidence}
