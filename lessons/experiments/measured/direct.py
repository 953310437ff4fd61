"""DPO against what there was to reach (claims 30 and 32): in a world that can be written down, and in the village.

In the micro-world a policy is a table of logits, its objective `J = E r - beta KL` is a sum, and the best policy is a
formula. So one can ask which share of the possible gain in J a method gets: 1 is the optimum, 0 the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from lessons.experiments import village
from lessons.experiments.claim import claim
from lessons.experiments.lab import Lab
from lessons.experiments.measured.micro_reward import fitted, micro_world
from minipost.autograd import Array, Tensor
from minipost.losses import dpo
from minipost.runs import read_metrics
from minipost.world.micro import (
    MicroWorld,
    Preferences,
    exact_best_of_n,
    exact_dpo_loss,
    exact_objective,
    exact_reward,
    log_partition,
    sample_preferences,
)

BETA = 0.5  # of the micro-world, whose rewards spread by about 1
FLIPPED, SMOOTHING = 0.25, 0.25  # share of wrong labels, and what conservative and robust are told
PAIRS = 1000  # a prompt
FAMILY: dict[str, Callable[..., Any]] = {  # losses of four log-probabilities and beta
    "sigmoid": dpo.sigmoid,
    "conservative": partial(dpo.sigmoid, label_smoothing=SMOOTHING),
    "robust": partial(dpo.robust, label_smoothing=SMOOTHING),
    "IPO": dpo.ipo,
    "hinge": dpo.hinge,
}


# ------------------------------------------------------------------------------------------------------ the micro-world
def reference(world: MicroWorld) -> Array:
    """Log-probabilities [P, N] of the policy that chooses every token evenly."""
    return np.asarray(world.response_logps(np.zeros((world.prompts, world.node_count, world.vocab))))


def trained(world: MicroWorld, loss: Callable[[Any], Any], steps: int) -> Array:
    """Log-probabilities [P, N] of the policy that minimises `loss(logps)`, found from the reference by AdamW."""
    shape = world.prompts, world.node_count, world.vocab

    def of_logits(flat: Tensor) -> Any:
        return loss(world.response_logps(flat.reshape(*shape)))

    best = fitted(of_logits, int(np.prod(shape)), steps, learning_rate=0.1)
    return np.asarray(world.response_logps(best.reshape(shape)))


def on_pairs(world: MicroWorld, name: str, pairs: Preferences, steps: int) -> Array:
    """The policy that a loss of `FAMILY` finds on these pairs."""
    ref, p = reference(world), pairs.prompt

    def loss(logps: Any) -> Any:
        sides = logps[p, pairs.chosen], logps[p, pairs.rejected], ref[p, pairs.chosen], ref[p, pairs.rejected]
        return FAMILY[name](*sides, beta=BETA)

    return trained(world, loss, steps)


def share_of_gain(world: MicroWorld, logps: Array) -> float:
    """Which share of the gain in J, from the reference to the optimum `beta log Z`, a policy [P, N] has got."""
    ref = reference(world)
    start = exact_reward(ref, world.rewards)
    best = BETA * log_partition(ref, world.rewards, BETA)
    return float(((exact_objective(logps, ref, world.rewards, BETA) - start) / (best - start)).mean())


def preferences(world: MicroWorld, seed: int, count: int, flipped: float = 0.0) -> Preferences:
    """`count` labelled pairs a prompt of the reference's own responses; a share of the labels is wrong."""
    rng = np.random.default_rng([seed, 32])
    pairs = sample_preferences(rng, reference(world), world.rewards, count)
    wrong = rng.random(len(pairs.prompt)) < flipped
    chosen, rejected = pairs.chosen, pairs.rejected
    return Preferences(pairs.prompt, np.where(wrong, rejected, chosen), np.where(wrong, chosen, rejected))


@claim(
    32,
    "dpo-same-optimum",
    "With all comparisons there are, does DPO find the policy that RLHF looks for?",
    knob="the method",
    metric="share of the possible gain in E r − β KL",
    arm="DPO, all pairs",
    control="exact policy gradient",
    expects="same",
    lesson=10,
    seeds=6,
    margin=0.02,
)
def dpo_same_optimum(seed: int, lab: Lab) -> dict[str, float]:
    """Gradient ascent on J itself, DPO on all pairs with their exact probabilities, and best-of-n for the best n."""
    world, steps = micro_world(seed), lab.pick(800, 20)
    ref, r = reference(world), world.rewards
    ascent = trained(world, lambda logps: -exact_objective(logps, ref, r, BETA).sum(), steps)
    direct = trained(world, lambda logps: exact_dpo_loss(logps, ref, r, BETA, ref).sum(), steps)
    picks = [share_of_gain(world, exact_best_of_n(ref, r, n)) for n in (2, 3, 4, 6, 8, 12, 16)]
    return {
        "exact policy gradient": share_of_gain(world, ascent),
        "DPO, all pairs": share_of_gain(world, direct),
        "best-of-n": max(picks),
    }


@claim(
    32,
    "dpo-few-pairs",
    "Does DPO leave that optimum when pairs are few?",
    knob="comparisons a prompt",
    metric="share of the possible gain in E r − β KL",
    arm="100",
    control="10000",
    expects="down",
    lesson=10,
    seeds=6,
)
def dpo_few_pairs(seed: int, lab: Lab) -> dict[str, float]:
    """DPO to its end on 100 to 10,000 pairs a prompt."""
    world, steps = micro_world(seed), lab.pick(400, 10)
    counts = [lab.pick(n, n // 50) for n in (100, 300, 1000, 3000, 10000)]
    policies = [on_pairs(world, "sigmoid", preferences(world, seed, n), steps) for n in counts]
    names = ("100", "300", "1000", "3000", "10000")
    return {name: share_of_gain(world, logps) for name, logps in zip(names, policies, strict=True)}


@claim(
    32,
    "robust-to-flips",
    "Does a loss that knows how many labels are wrong do better?",
    knob="the loss",
    metric="share of the possible gain in E r − β KL",
    arm="robust",
    control="sigmoid",
    expects="up",
    lesson=10,
    seeds=6,
)
def robust_to_flips(seed: int, lab: Lab) -> dict[str, float]:
    """Five losses on the same pairs, a quarter of which is labelled the wrong way round."""
    world, steps = micro_world(seed), lab.pick(400, 10)
    pairs = preferences(world, seed, lab.pick(PAIRS, 20), FLIPPED)
    return {name: share_of_gain(world, on_pairs(world, name, pairs, steps)) for name in FAMILY}


# --------------------------------------------------------------------------------------------------------- the village
@claim(
    32,
    "dpo-chosen-falls",
    "Does DPO often make even the chosen answers less likely?",
    knob="how long DPO has trained",
    metric="log-probability of an answer over the reference's, nats",
    arm="chosen",
    control="at the start",
    expects="down",
    lesson=10,
    seeds=3,
)
def dpo_chosen_falls(seed: int, lab: Lab) -> dict[str, float]:
    """Chosen and rejected answers in the last third of DPO's epoch: pairs that it has not seen before."""
    rows = read_metrics(village.dpo(lab, seed))
    beta, last = village.stages(lab, seed).dpo.beta, rows[-max(1, len(rows) // 3) :]
    sides = {s: float(np.mean([row[f"rewards/{s}"] for row in last])) / beta for s in ("chosen", "rejected")}
    return {"at the start": 0.0, **sides}


def examined(lab: Lab, seed: int, betas: tuple[float, ...] = (0.03, 0.1, 0.3)) -> dict[str, tuple[float, float]]:
    """(KL to SFT, gold on held-out prompts) of SFT, PPO and of DPO for several betas, measured once."""
    start = village.sft(lab, seed)
    models = {"SFT": start, "PPO": village.ppo(lab, seed)}
    models |= {f"DPO, beta {b:g}": village.dpo(lab, seed, beta=b) for b in betas}

    def measured() -> dict[str, tuple[float, float]]:
        rows = {name: village.measured(lab, model, start, count=400, seed=seed) for name, model in models.items()}
        return {name: (max(row["kl_to_sft"], 0.0), row["gold_mean"]) for name, row in rows.items()}

    points = lab.numbers("frontier", {name: model.parent.name for name, model in models.items()}, measured)
    return {name: (float(kl) * (name != "SFT"), float(gold)) for name, (kl, gold) in points.items()}


@claim(
    30,
    "dpo-as-good-at-equal-kl",
    "Does DPO, the simpler method, reach PPO's utility at the same distance from SFT?",
    knob="the method",
    metric="true utility on held-out prompts",
    arm="DPO",
    control="PPO",
    expects="same",
    lesson=10,
    seeds=3,
    margin=0.3,
)
def dpo_as_good_at_equal_kl(seed: int, lab: Lab) -> dict[str, float]:
    """DPO's gold where its curve over beta, which starts at SFT, passes PPO's KL; its end, if it stays below."""
    points = examined(lab, seed)
    kl, gold = points["PPO"]
    distances, utilities = np.array(sorted(point for name, point in points.items() if name != "PPO")).T
    at_equal_kl = float(np.interp(kl, distances, utilities))
    return {"SFT": points["SFT"][1], "DPO": at_equal_kl, "PPO": gold}
