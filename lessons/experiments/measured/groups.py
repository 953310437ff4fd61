"""Group baselines (claim 28): what comparing an answer with the others to its prompt does to the gradient.

In the micro-world the gradient of `E r` is a sum over all responses, and so is the mean of any estimate of it, or
nearly so. What an estimate costs (its noise) and what it distorts (its bias) are then two different numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np

from lessons.experiments import village
from lessons.experiments.claim import claim
from lessons.experiments.lab import Lab
from lessons.experiments.measured.micro_reward import micro_world
from minipost.autograd import Array
from minipost.losses import grpo, rloo
from minipost.world.micro import MicroWorld, sample_responses

Advantages = Callable[[Array], Array]  # rewards [..., K] -> advantages [..., K]
GROUP = 4


def policy(world: MicroWorld, seed: int) -> Array:
    """Logits [P, K, A] of a policy with habits of its own."""
    return np.random.default_rng([seed, 28]).standard_normal((world.prompts, world.node_count, world.vocab))


def scores(world: MicroWorld, logits: Array) -> Array:
    """`grad log pi(y)` of every response, token by token, with respect to the prompt's logits: [P, N, L, K * A].

    At each node on the response's way it is `onehot(token) - p`, elsewhere 0.
    """
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=-1)[..., None])  # [P, K, A]
    P, K, A = p.shape
    N, L = world.responses.shape
    out = np.zeros((P, N, L, K, A))
    rows, columns = np.nonzero(world.mask)
    at = world.nodes[rows, columns]
    out[:, rows, columns, at] = -p[:, at]
    out[:, rows, columns, at, world.responses[rows, columns]] += 1
    return out.reshape(P, N, L, K * A)


def sampled_gradients(
    world: MicroWorld, logits: Array, rewards: Array, advantages: Advantages, groups: int, rng: np.random.Generator
) -> Array:
    """Estimates of the gradient of `E r` from groups of four responses to the first prompt: [groups, K * A]."""
    logps = world.response_logps(logits)[:1]
    drawn = sample_responses(rng, logps, groups * GROUP).reshape(groups, GROUP)
    A = advantages(rewards[0, drawn])  # [groups, 4]
    whole = scores(world, logits)[0].sum(axis=1)  # [N, K * A]
    return np.asarray(np.einsum("gk,gkd->gd", A, whole[drawn]) / GROUP)


def true_gradient(world: MicroWorld, logits: Array, rewards: Array) -> Array:
    """The gradient of `E r` at the first prompt, [K * A]."""
    p = np.exp(world.response_logps(logits)[0])
    return np.asarray((p * rewards[0]) @ scores(world, logits)[0].sum(axis=1))


def noise(gradients: Array, true: Array) -> float:
    """Standard deviation of one estimate, in lengths of the true gradient."""
    return float(np.sqrt(((gradients - gradients.mean(axis=0)) ** 2).sum(axis=1).mean()) / np.linalg.norm(true))


def plain(rewards: Array) -> Array:
    """REINFORCE without a baseline: the reward itself."""
    return rewards


@claim(
    28,
    "group-baseline-less-noise",
    "Does the mean of the other answers make a baseline that takes out noise?",
    knob="the baseline",
    metric="noise of the gradient from 4 answers, in its lengths",
    arm="the others' mean",
    control="none",
    expects="down",
    lesson=13,
    seeds=8,
)
def group_baseline_less_noise(seed: int, lab: Lab) -> dict[str, float]:
    """Rewards whose mean is 1, as far from 0 as they spread: a reward model's scale has no origin."""
    world = micro_world(seed)
    logits, draws = policy(world, seed), lab.pick(4000, 50)
    mean = float(np.exp(world.response_logps(logits)[0]) @ world.rewards[0])
    rewards = world.rewards - mean + 1.0
    true = true_gradient(world, logits, rewards)
    kinds: dict[str, Advantages] = {"none": plain, "the others' mean": rloo, "the true mean": lambda r: r - 1.0}
    return {
        name: noise(sampled_gradients(world, logits, rewards, kind, draws, np.random.default_rng([seed, 29])), true)
        for name, kind in kinds.items()
    }


# ------------------------------------------------------------------------------------------------------ right or wrong
def mean_advantages(advantages: Advantages, p: float, group: int) -> tuple[float, float]:
    """The mean advantage of a right and of a wrong answer, if answers are right (1) with chance p or wrong (0).

    Exact: the number of right ones among the other K - 1 is binomial.
    """
    out = []
    for reward in (1.0, 0.0):
        chances = [comb(group - 1, k) * p**k * (1 - p) ** (group - 1 - k) for k in range(group)]
        rows = np.array([[reward] + [1.0] * k + [0.0] * (group - 1 - k) for k in range(group)])
        out.append(float(np.dot(chances, advantages(rows)[:, 0])))
    return out[0], out[1]


def prompt_weight(advantages: Advantages, p: float, group: int) -> float:
    """By which factor a prompt that is solved with chance p pulls harder than in the gradient of `E r`.

    The mean step is `p a_right g_right + (1 - p) a_wrong g_wrong`, where g are the mean scores of right and wrong
    answers. As `p g_right + (1 - p) g_wrong = 0`, it is `a_right - a_wrong` times the true gradient.
    """
    right, wrong = mean_advantages(advantages, p, group)
    return right - wrong


@claim(
    28,
    "grpo-weighs-prompts",
    "Does dividing by the group's spread make easy and hard prompts pull harder?",
    knob="the advantage",
    metric="pull of a prompt that is nearly solved, over one that is half solved",
    arm="GRPO",
    control="RLOO",
    expects="up",
    lesson=13,
    seeds=5,
)
def grpo_weighs_prompts(seed: int, lab: Lab) -> dict[str, float]:
    """Exact, for groups of 4, 6, 8, 12 and 16 in place of seeds, and prompts solved in 90 % and in 50 %."""
    group = (4, 6, 8, 12, 16)[seed % 5]
    return {
        name: prompt_weight(kind, 0.9, group) / prompt_weight(kind, 0.5, group)
        for name, kind in (("RLOO", rloo), ("GRPO", grpo))
    }


def length_pull(world: MicroWorld, logits: Array, right: Array, per_token: Array) -> float:
    """How fast a unit step along the mean GRPO update changes the mean length of *wrong* answers to the first prompt,
    in thousandths of a token.

    `right[N]` says which responses are; `per_token[N]` is the weight of each token of a response. The first token
    decides who is right, the others how long one goes on: their part of the step is what counts.
    """
    p, S = np.exp(world.response_logps(logits)[0]), scores(world, logits)[0]  # [N], [N, L, D]
    a_right, a_wrong = mean_advantages(grpo, float(p[right].sum()), GROUP)
    A = np.where(right, a_right, a_wrong)  # [N]
    step = np.einsum("n,nld->d", p * A * per_token, S)
    size = float(np.linalg.norm(step))
    step[: world.vocab] = 0  # the logits of the first token
    wrong = np.where(right, 0, p) / p[~right].sum()
    length = world.lengths - wrong @ world.lengths
    return 1000 * float((wrong * length) @ S.sum(axis=1) @ (step / size))


@claim(
    28,
    "wrong-answers-grow",
    "Does dividing by an answer's own length make wrong answers longer?",
    knob="weight of a token",
    metric="growth of wrong answers, thousandths of a token a unit step",
    arm="1 / its answer's length",
    control="the same for all",
    expects="up",
    lesson=13,
    seeds=8,
)
def wrong_answers_grow(seed: int, lab: Lab) -> dict[str, float]:
    """An answer is right if it begins with the first word: its length has nothing to do with it."""
    world = micro_world(seed)
    logits, right = policy(world, seed), world.responses[:, 0] == 0
    return {
        "the same for all": length_pull(world, logits, right, np.full(len(right), 1 / world.max_length)),
        "1 / its answer's length": length_pull(world, logits, right, 1 / world.lengths),
    }


# --------------------------------------------------------------------------------------------------------- the village
@claim(
    28,
    "groups-instead-of-values",
    "Does comparing groups do as well as PPO's value network, from as many answers?",
    knob="the method",
    metric="true utility on held-out prompts",
    arm="RLOO",
    control="PPO",
    expects="same",
    lesson=13,
    seeds=3,
    margin=0.3,
)
def groups_instead_of_values(seed: int, lab: Lab) -> dict[str, float]:
    """14 rollouts of 64 answers each, with the same beta and learning rate."""
    models = {
        "SFT": village.sft(lab, seed),
        "PPO": village.ppo(lab, seed),
        "RLOO": village.grpo(lab, seed, method="rloo"),
        "GRPO": village.grpo(lab, seed),
    }
    return {name: village.measured(lab, m, count=400, seed=seed)["gold_mean"] for name, m in models.items()}
