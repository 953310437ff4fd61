"""Triples suffice (claim 24): (prompt, winning, losing) determines the utility, up to a constant for each prompt.

Bradley-Terry sees differences within a prompt and nothing else. So from enough triples the fitted reward, centred on
each prompt, is the utility, centred on each prompt, in its own units; and no number of triples tells one prompt's level
from another's.
"""

from __future__ import annotations

import numpy as np

from lessons.experiments.claim import claim
from lessons.experiments.lab import Lab
from lessons.experiments.measured.micro_reward import features, fitted, micro_world
from minipost.autograd import Array
from minipost.losses import bradley_terry
from minipost.world.micro import sample_preferences


def recovered(fit: Array, rewards: Array) -> float:
    """R^2 of a fitted reward [P, N] within prompts: 1 is equality up to a constant a prompt, 0 is a constant."""
    error, spread = ((x - x.mean(axis=1, keepdims=True)) for x in (fit - rewards, rewards))
    return float(1 - (error**2).sum() / (spread**2).sum())


def learned_reward(seed: int, count: int) -> tuple[Array, Array]:
    """(fit, utility), each [P, N] and centred on each prompt: a reward fitted to `count` triples a prompt."""
    world = micro_world(seed)
    phi = features(world)
    start = world.response_logps(np.zeros((world.prompts, world.node_count, world.vocab)))
    pairs = sample_preferences(np.random.default_rng([seed, 24]), start, world.rewards, count)
    chosen, rejected = phi[pairs.prompt, pairs.chosen], phi[pairs.prompt, pairs.rejected]  # [M, F]
    fit = phi @ fitted(lambda w: bradley_terry(chosen @ w, rejected @ w), phi.shape[-1])
    return fit - fit.mean(axis=1, keepdims=True), world.rewards - world.rewards.mean(axis=1, keepdims=True)


@claim(
    24,
    "triples-suffice",
    "Are (prompt, winning, losing) triples enough to learn what people like?",
    knob="whether the labels mean anything",
    metric="R² of the reward within prompts",
    arm="triples",
    control="coin tosses",
    expects="up",
    lesson=7,
    seeds=8,
    margin=0.9,
)
def triples_suffice(seed: int, lab: Lab) -> dict[str, float]:
    """A reward fitted to triples, to a tenth of them, and to the same pairs with labels that a coin decided."""
    world = micro_world(seed)
    phi = features(world)
    start = world.response_logps(np.zeros((world.prompts, world.node_count, world.vocab)))
    rng = np.random.default_rng([seed, 24])
    pairs = sample_preferences(rng, start, world.rewards, lab.pick(3000, 50))
    tossed = np.where(rng.random((len(pairs.prompt), 1)) < 0.5, [[0, 1]], [[1, 0]])
    arms = {}
    for name, labels, keep in (("a tenth of the triples", None, 10), ("triples", None, 1), ("coin tosses", tossed, 1)):
        both = np.stack([phi[pairs.prompt, pairs.chosen], phi[pairs.prompt, pairs.rejected]], axis=1)[::keep]
        if labels is not None:
            both = np.take_along_axis(both, labels[:, :, None], axis=1)
        chosen, rejected = both[:, 0], both[:, 1]  # [M, F]

        def loss(w: object, chosen: Array = chosen, rejected: Array = rejected) -> object:
            return bradley_terry(chosen @ w, rejected @ w)

        arms[name] = recovered(phi @ fitted(loss, phi.shape[-1]), world.rewards)
    return arms
