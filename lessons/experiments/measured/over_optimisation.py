"""Over-optimisation (claims 27 and 33, lesson 12): the proxy goes on rising, and the gold does not.

In the micro-world everything is exact: a linear reward model is fitted to a few comparisons, and then best-of-n of any
n and the optimum of RLHF at any beta are summed up over all responses. Distances are d = sqrt(KL), as in Gao et
al. (2022). In the village PPO trains harder than usual against the village's reward model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from lessons.experiments import village
from lessons.experiments.candidates import Floats, candidates, scored
from lessons.experiments.claim import claim
from lessons.experiments.lab import Lab
from lessons.experiments.measured.micro_reward import features, fitted
from lessons.experiments.measured.picking import at, gains
from lessons.experiments.measured.reward_accuracy import HEADS, answers_and_scores
from minipost.autograd import Array
from minipost.losses import bradley_terry, exact_kl
from minipost.runs import read_metrics
from minipost.world.micro import MicroWorld, exact_best_of_n, exact_reward, optimal_policy, sample_preferences

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)  # n of best-of-n
BETA_GRID = (100.0, 10.0, 5.0, 3.0, 2.0, 1.5, 1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05, 0.02)  # beta, falling
FEW, MANY = 20, 200  # comparisons a prompt
HARDER: dict[str, Any] = {"iterations": 20, "learning_rate": 4e-4}  # more and larger steps than usual


# ------------------------------------------------------------------------------------------------- the micro-world
@dataclass(frozen=True)
class Curve:
    """How far a policy went, d = sqrt(KL) [K], and what it gained since the start: `proxy` and `gold` [K]."""

    d: Floats
    proxy: Floats
    gold: Floats


@dataclass(frozen=True)
class ProxyWorld:
    """A micro-world, its start policy (log-probabilities [P, N]) and a reward model of it, `proxy` [P, N]."""

    world: MicroWorld
    start: Array
    proxy: Array

    def curve(self, policies: list[Array]) -> Curve:
        """Exact numbers of policies [P, N], the start first."""
        d = [np.sqrt(max(float(exact_kl(p, self.start).mean()), 0.0)) for p in policies]
        proxy, gold = (
            np.array([float(exact_reward(p, r).mean()) for p in policies]) for r in (self.proxy, self.world.rewards)
        )
        start = (float(exact_reward(self.start, r).mean()) for r in (self.proxy, self.world.rewards))
        return Curve(np.array(d), proxy - next(start), gold - next(start))

    def best_of_n(self) -> Curve:
        """Best-of-n for n in `SIZES`."""
        return self.curve([exact_best_of_n(self.start, self.proxy, n) for n in SIZES])

    def rl(self) -> Curve:
        """What RLHF would reach at every beta of `BETA_GRID`: the exact maximiser of its objective."""
        return self.curve([optimal_policy(self.start, self.proxy, beta) for beta in BETA_GRID])


def proxy_world(seed: int, pairs: int, words_only: bool = False) -> ProxyWorld:
    """A world of 781 responses to each of three prompts, and a reward model from `pairs` comparisons a prompt.

    With `words_only` the model is smaller: it sees which words a response says, and not how they follow each other.
    """
    world = MicroWorld(vocab=6, max_length=4, prompts=3, seed=seed)
    phi = features(world)
    if words_only:
        phi = phi[:, :, : world.prompts * (world.vocab - 1)]
    start = world.response_logps(np.zeros((world.prompts, world.node_count, world.vocab)))
    sample = sample_preferences(np.random.default_rng([seed, 12]), start, world.rewards, pairs)
    chosen, rejected = phi[sample.prompt, sample.chosen], phi[sample.prompt, sample.rejected]  # [M, F]
    weights = fitted(lambda w: bradley_terry(chosen @ w, rejected @ w), phi.shape[-1])
    return ProxyWorld(world, start, phi @ weights)


# ------------------------------------------------------------------------------------------------ two forms, fitted
Form: TypeAlias = Callable[[Floats, float, float], Floats]


def bon_form(d: Floats, a: float, b: float) -> Floats:
    """`R(d) = d (a - b d)`: Gao et al. 2022, eq. 1, for best-of-n."""
    return d * (a - b * d)


def rl_form(d: Floats, a: float, b: float) -> Floats:
    """`R(d) = d (a - b log d)`: Gao et al. 2022, eq. 1, for reinforcement learning. 0 at d = 0, as its limit is."""
    return d * (a - b * np.log(np.where(d > 0, d, 1.0)))


def fit(form: Form, d: Floats, gain: Floats) -> tuple[float, float]:
    """(a, b) by least squares. Both forms are linear in them: the columns are the form at (1, 0) and at (0, 1)."""
    columns = np.stack([form(d, 1.0, 0.0), form(d, 0.0, 1.0)], axis=1)
    a, b = np.linalg.lstsq(columns, gain, rcond=None)[0]
    return float(a), float(b)


def misfit(form: Form, d: Floats, gain: Floats) -> float:
    """Root mean square distance of the fitted form from the curve."""
    return float(np.sqrt(np.mean((form(d, *fit(form, d, gain)) - gain) ** 2)))


# ------------------------------------------------------------------------------------------------------ the village
def trained_harder(lab: Lab, seed: int, beta: float, head: str | None = None) -> Path:
    """The seed's SFT model after PPO with KL coefficient `beta`, and with larger and more steps than usual, against a
    reward model with this head."""
    judge = village.reward(lab, seed, head=head)
    return village.ppo(lab, seed, reward_model=judge, beta=beta, **(HARDER if not lab.fast else {}))


def held_out(lab: Lab, seed: int, model: Path) -> tuple[float, float]:
    """(proxy, gold) of a model's answers to held-out prompts, four each; the proxy in units of utility."""
    answers = candidates(lab, model, seed, count=4)
    return float(scored(lab, village.reward(lab, seed), answers).mean()), float(answers.gold.mean())


def trajectory(model: Path) -> dict[str, Floats]:
    """What PPO logged, rollout by rollout: `kl`, `proxy` and `gold`, each [K]."""
    rows = read_metrics(model)
    names = {"kl": "objective/kl", "proxy": "objective/scores", "gold": "gold"}
    return {short: np.array([row[long] for row in rows]) for short, long in names.items()}


# ----------------------------------------------------------------------------------------------------------- claims
@claim(
    27,
    "gold-turns",
    "Pushed against a poor reward model, does the true reward fall again?",
    knob="price of KL, beta",
    metric="exact gain in gold at the optimum of RLHF",
    arm="0.02",
    control="2.0",
    expects="down",
    lesson=12,
    seeds=10,
)
def gold_turns(seed: int, lab: Lab) -> dict[str, float]:
    """The optimum for a reward model from 20 comparisons a prompt, at four betas."""
    poor = proxy_world(seed, FEW).rl()
    return {str(beta): float(poor.gold[BETA_GRID.index(beta)]) for beta in (10.0, 2.0, 0.25, 0.02)}


@claim(
    33,
    "more-pairs-more-gold",
    "Does a reward model from more comparisons stand more optimisation?",
    knob="comparisons a prompt",
    metric="exact gain in gold of best-of-1024",
    arm="200",
    control="20",
    expects="up",
    lesson=12,
    seeds=10,
)
def more_pairs_more_gold(seed: int, lab: Lab) -> dict[str, float]:
    """Best-of-1024 by reward models from 20, 60 and 200 comparisons a prompt, and by the utility itself."""
    gold = {str(pairs): gold_gain(proxy_world(seed, pairs), 1024) for pairs in (FEW, 60, MANY)}
    known = proxy_world(seed, FEW)
    return gold | {"all": gold_gain(ProxyWorld(known.world, known.start, known.world.rewards), 1024)}


@claim(
    33,
    "larger-judge-more-gold",
    "Does a reward model that can express more stand more optimisation?",
    knob="what the reward model can express",
    metric="exact gain in gold of best-of-1024",
    arm="words and their order",
    control="words only",
    expects="up",
    lesson=12,
    seeds=10,
)
def larger_judge_more_gold(seed: int, lab: Lab) -> dict[str, float]:
    """Two sizes of reward model, from the same 200 comparisons a prompt."""
    return {
        "words only": gold_gain(proxy_world(seed, MANY, words_only=True), 1024),
        "words and their order": gold_gain(proxy_world(seed, MANY), 1024),
    }


def gold_gain(scored_world: ProxyWorld, n: int) -> float:
    """The exact gold gain of best-of-n."""
    return float(scored_world.curve([exact_best_of_n(scored_world.start, scored_world.proxy, n)]).gold[0])


@claim(
    33,
    "bon-form",
    "Does d (a - b d) describe best-of-n better than d (a - b log d)?",
    knob="the form that is fitted",
    metric="root mean square misfit of the gold curve",
    arm="d (a - b d)",
    control="d (a - b log d)",
    expects="down",
    lesson=12,
    seeds=10,
)
def bon_form_fits(seed: int, lab: Lab) -> dict[str, float]:
    """Both forms, two parameters each, fitted to the exact curve of best-of-n by a poor reward model."""
    c = proxy_world(seed, FEW).best_of_n()
    return {"d (a - b d)": misfit(bon_form, c.d, c.gold), "d (a - b log d)": misfit(rl_form, c.d, c.gold)}


@claim(
    27,
    "rl-form",
    "Does d (a - b log d) describe RLHF's optimum better than d (a - b d)?",
    knob="the form that is fitted",
    metric="root mean square misfit of the gold curve",
    arm="d (a - b log d)",
    control="d (a - b d)",
    expects="down",
    lesson=12,
    seeds=10,
)
def rl_form_fits(seed: int, lab: Lab) -> dict[str, float]:
    """Both forms, fitted to the exact curve of RLHF's optimum for a poor reward model."""
    c = proxy_world(seed, FEW).rl()
    return {"d (a - b d)": misfit(bon_form, c.d, c.gold), "d (a - b log d)": misfit(rl_form, c.d, c.gold)}


@claim(
    27,
    "kl-price-protects-gold",
    "Does the price of KL protect the true reward when PPO is pushed?",
    knob="price of KL, beta",
    metric="gold utility on held-out prompts",
    arm="0.25",
    control="0",
    expects="up",
    lesson=12,
    seeds=3,
)
def kl_price_protects_gold(seed: int, lab: Lab) -> dict[str, float]:
    """PPO with and without a KL penalty, and the SFT model that both start from."""
    gold = {f"{beta:g}": held_out(lab, seed, trained_harder(lab, seed, beta))[1] for beta in (0.0, 0.25)}
    return gold | {"SFT": held_out(lab, seed, village.sft(lab, seed))[1]}


@claim(
    33,
    "likelihood-head-pushed",
    "Pushed by PPO without a price of KL, does a reward model that reads likelihoods keep gold higher?",
    knob="what the head reads",
    metric="gold utility on held-out prompts",
    arm="likelihoods too",
    control="the end token",
    expects="up",
    lesson=12,
    seeds=3,
)
def likelihood_head_pushed(seed: int, lab: Lab) -> dict[str, float]:
    """PPO with beta 0 against two reward models from the same comparisons."""
    return {arm: held_out(lab, seed, trained_harder(lab, seed, 0.0, head))[1] for arm, head in HEADS.items()}


@claim(
    33,
    "village-pairs-best-of-n",
    "In the village, does best-of-16 gain more by a judge of more comparisons?",
    knob="comparisons that the reward model learned from",
    metric="gain in gold utility of best-of-16",
    arm="2500",
    control="150",
    expects="up",
    lesson=12,
    seeds=3,
)
def village_pairs_best_of_n(seed: int, lab: Lab) -> dict[str, float]:
    """The same 16 answers to each prompt, picked by reward models of 150, 600 and 2500 comparisons."""
    out = {}
    for pairs in (150, 600, 2500):
        answers, proxy = answers_and_scores(lab, seed, pairs)
        out[str(pairs)] = at(gains(answers, proxy)[1], 16)
    return out
