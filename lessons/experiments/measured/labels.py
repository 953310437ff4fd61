"""Comparisons against scores (claim 23): what several people's labels teach one reward model.

Each labeler is the world's own `Labeler`: what they feel is the utility plus noise; a score reports it on a personal
scale, with an offset that drifts as they go on; in a comparison offset, scale and drift cancel. The budget is counted
in responses read, which favours scores: N of them, but only N / 2 comparisons, one bit each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lessons.experiments.claim import claim
from lessons.experiments.lab import Lab
from lessons.experiments.measured.micro_reward import features, fitted, micro_world
from lessons.experiments.statistics import rank_correlation
from minipost.autograd import Array, Tensor
from minipost.losses import bradley_terry, pointwise_regression
from minipost.world import Labeler
from minipost.world.micro import Ints, MicroWorld, sample_responses

LABELERS = 8
PERSONAL = {"offset": 1.5, "scale": 0.3, "drift": 0.02}  # standard deviations over people; the scale's is of its log
IDEAL = {"offset": 0.0, "scale": 0.0, "drift": 0.0}


def people(world: MicroWorld, spread: dict[str, float], rng: np.random.Generator) -> list[Labeler]:
    """Labelers of one micro-world, who share its utility and differ in how they use a scale. A task is a prompt's
    number, a response its number."""
    utility: Any = lambda prompt, response: float(world.rewards[prompt, response])  # noqa: E731
    z = rng.standard_normal((LABELERS, 3))
    return [
        Labeler(
            utility, offset=spread["offset"] * a, scale=float(np.exp(spread["scale"] * b)), drift=spread["drift"] * c
        )
        for a, b, c in z
    ]


def learned(world: MicroWorld, labelers: list[Labeler], labels: str, shown: Ints, rng: np.random.Generator) -> float:
    """The quality of the reward model that these labels teach: its rank correlation with the utility over all responses
    to a prompt, averaged over prompts. Labeler i reads the i-th part of `shown` [P, K]."""
    phi = features(world)
    P, K = shown.shape
    prompt = np.tile(np.arange(P), K // 2)  # a labeler goes from prompt to prompt, two responses each
    first, second = shown.reshape(P, K // 2, 2).swapaxes(0, 1).reshape(-1, 2).T  # [M], [M]
    who = np.arange(len(prompt)) * len(labelers) // len(prompt)
    x, y = phi[prompt, first], phi[prompt, second]  # [M, F]
    triples = list(zip(who, prompt, first, second, strict=True))
    if labels == "comparisons":
        wins = np.array([labelers[i].compare(_number(p), _number(a), _number(b), rng) for i, p, a, b in triples])
        chosen, rejected = np.where(wins[:, None], x, y), np.where(wins[:, None], y, x)
        weights = fitted(lambda w: bradley_terry(chosen @ w, rejected @ w), phi.shape[-1])
    else:
        scores = [labelers[i].score(_number(p), _number(r), rng) for i, p, *both in triples for r in both]
        targets, read = np.array(scores), np.stack([x, y], axis=1).reshape(-1, phi.shape[-1])  # [2M], [2M, F]

        def regression(w: Tensor) -> Any:
            return pointwise_regression(read @ w, targets - targets.mean())

        weights = fitted(regression, phi.shape[-1])
    return _agreement(phi @ weights, world.rewards)


def _agreement(fit: Array, rewards: Array) -> float:
    return float(np.mean([rank_correlation(f, r) for f, r in zip(fit, rewards, strict=True)]))


def _number(i: Any) -> Any:
    """A prompt or a response of the micro-world where a labeler expects a task or a text."""
    return int(i)


@claim(
    23,
    "comparisons-vs-scores",
    "Are comparisons easier and more consistent than scores?",
    knob="what labelers are asked for",
    metric="rank correlation of the reward model with the utility",
    arm="comparisons",
    control="scores",
    expects="up",
    lesson=7,
    seeds=10,
)
def comparisons_vs_scores(seed: int, lab: Lab) -> dict[str, float]:
    """Reward models from the two kinds of labels, by people with scales of their own and by ideal raters."""
    world = micro_world(seed)
    rng = np.random.default_rng([seed, 23])
    start = world.response_logps(np.zeros((world.prompts, world.node_count, world.vocab)))
    shown = sample_responses(rng, start, lab.pick(100, 10))
    arms = {}
    for kind, spread in (("", PERSONAL), (", ideal raters", IDEAL)):
        for labels in ("scores", "comparisons"):
            labelers = people(world, spread, np.random.default_rng([seed, 24]))
            arms[labels + kind] = learned(world, labelers, labels, shown, np.random.default_rng([seed, 25]))
    return arms
