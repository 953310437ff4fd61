"""Best-of-N (claims 33 and 34): what picking gains, by how many answers there are and by how different they are.

64 answers of the village's SFT model to each held-out prompt are sampled once, scored once and judged once; the curve
over all n <= 64 follows without bias. In the micro-world nothing is sampled at all.
"""

from __future__ import annotations

import numpy as np

from lessons.experiments import village
from lessons.experiments.candidates import Candidates, Floats, candidates, scored
from lessons.experiments.claim import claim
from lessons.experiments.lab import Lab
from lessons.experiments.measured.micro_reward import micro_world
from minipost.losses import best_of_n_estimate
from minipost.world.micro import exact_best_of_n, exact_reward

MOST = 64  # answers a prompt
SIZES = (1, 2, 4, 8, 16, 32, 64)
TEMPERATURES = (0.3, 0.6, 1.0, 1.4)


def sft_candidates(lab: Lab, seed: int) -> Candidates:
    """The seed's SFT model: 64 answers to each of 80 held-out prompts."""
    return candidates(lab, village.sft(lab, seed), seed, tasks=80, count=MOST)


def gains(answers: Candidates, proxy: Floats) -> tuple[Floats, Floats]:
    """What best-of-n gains over a single answer, for n = 1 to N: (proxy, gold), each [N], in units of utility."""
    by_proxy = np.mean([best_of_n_estimate(p, p) for p in proxy], axis=0)
    by_gold = np.mean([best_of_n_estimate(p, g) for p, g in zip(proxy, answers.gold, strict=True)], axis=0)
    return by_proxy - by_proxy[0], by_gold - by_gold[0]


def village_gains(lab: Lab, seed: int) -> tuple[Floats, Floats]:
    """`gains` of the seed's SFT model by its own reward model."""
    answers = sft_candidates(lab, seed)
    return gains(answers, scored(lab, village.reward(lab, seed), answers))


def at(values: Floats, n: int) -> float:
    """The value for best-of-n, or the last one: tiny settings sample fewer answers."""
    return float(values[min(n, len(values)) - 1])


def by_temperature(lab: Lab, seed: int, temperature: float) -> tuple[Candidates, Floats]:
    """Answers sampled at some temperature, 16 to each of 80 prompts, and their scores."""
    answers = candidates(lab, village.sft(lab, seed), seed, tasks=80, count=16, temperature=temperature)
    return answers, scored(lab, village.reward(lab, seed), answers)


# --------------------------------------------------------------------------------------------------------- how many
@claim(
    33,
    "best-of-n-helps",
    "Does picking the best of n answers help without any training?",
    knob="how many answers there are to pick from",
    metric="gain in gold utility over a single answer",
    arm="best of 16",
    control="best of 1",
    expects="up",
    lesson=8,
    seeds=3,
)
def best_of_n_helps(seed: int, lab: Lab) -> dict[str, float]:
    """The gold gain of best-of-n by the village's reward model, for n from 1 to 64."""
    _, gold = village_gains(lab, seed)
    return {f"best of {n}": at(gold, n) for n in SIZES}


@claim(
    33,
    "gold-saturates",
    "Does each fourfold of answers gain less gold than the one before?",
    knob="from how many answers one starts",
    metric="gain in gold utility from four times as many answers",
    arm="16 to 64",
    control="1 to 4",
    expects="down",
    lesson=8,
    seeds=3,
)
def gold_saturates(seed: int, lab: Lab) -> dict[str, float]:
    """The gold that a fourfold of answers adds."""
    _, gold = village_gains(lab, seed)
    return {f"{n} to {4 * n}": at(gold, 4 * n) - at(gold, n) for n in (1, 4, 16)}


@claim(
    33,
    "gold-lags-proxy",
    "Beyond a few answers, does the proxy promise more than the gold keeps?",
    knob="which reward is counted",
    metric="gain from 4 to 64 answers, in units of utility",
    arm="gold",
    control="proxy",
    expects="down",
    lesson=8,
    seeds=3,
)
def gold_lags_proxy(seed: int, lab: Lab) -> dict[str, float]:
    """The same picks, counted by the reward model that made them and by the true utility."""
    proxy, gold = village_gains(lab, seed)
    return {"proxy": at(proxy, 64) - at(proxy, 4), "gold": at(gold, 64) - at(gold, 4)}


# ---------------------------------------------------------------------------------------------------- how different
@claim(
    34,
    "diversity-feeds-best-of-n",
    "Does best-of-n live on the diversity of the samples?",
    knob="temperature of sampling",
    metric="gain in gold utility of best-of-16 over a single answer",
    arm="1.0",
    control="0.3",
    expects="up",
    lesson=8,
    seeds=3,
)
def diversity_feeds_best_of_n(seed: int, lab: Lab) -> dict[str, float]:
    """The gain of best-of-16 at four temperatures, each over a single answer at the same one."""
    return {str(t): at(gains(*by_temperature(lab, seed, t))[1], 16) for t in TEMPERATURES}


@claim(
    34,
    "gain-needs-spread",
    "With the true reward, does the gain shrink with the temperature, to nothing?",
    knob="temperature of sampling",
    metric="exact gain in utility of best-of-16",
    arm="1.0",
    control="0.1",
    expects="up",
    lesson=8,
    seeds=10,
)
def gain_needs_spread(seed: int, lab: Lab) -> dict[str, float]:
    """A random policy of the micro-world at several temperatures: the exact gain of picking by the utility itself."""
    world = micro_world(seed)
    logits = 2 * np.random.default_rng([seed, 34]).standard_normal((world.prompts, world.node_count, world.vocab))
    gain = {}
    for t in (0.1, 0.3, 1.0, 3.0):
        base = world.response_logps(logits / t)
        best = exact_best_of_n(base, world.rewards, 16)
        gain[str(t)] = float((exact_reward(best, world.rewards) - exact_reward(base, world.rewards)).mean())
    return gain
