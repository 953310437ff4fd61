"""The numbers of the figures with sliders: each figure is a function that computes them with the package's own code.

Most take place in the micro-world, where every response can be written down and nothing has to be estimated. All of
them together take a few seconds.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import numpy as np

from lessons.experiments.measured.micro_reward import features, fitted, micro_world
from lessons.tools.site.play import Frame, Play, Series
from minipost.autograd import Array, sigmoid
from minipost.kernels import sample
from minipost.losses import best_of_n_kl_bound, bradley_terry, dpo, exact_kl, gae, pair_accuracy, ppo
from minipost.world import World
from minipost.world.micro import (
    MicroWorld,
    exact_best_of_n,
    exact_reward,
    exact_win_rate,
    optimal_policy,
    sample_preferences,
)


def every_play() -> list[Play]:
    """All figures, in the order of their lessons."""
    makers = (temperature, labeler_noise, best_of_n, clip_range, gae_lambda, dpo_beta, dpo_family, over_optimisation)
    return sorted((make() for make in makers), key=lambda play: play.lesson)


def temperature() -> Play:
    """The words that follow "the" in clean pages of the web, drawn at a temperature."""
    pages = " ".join(World(seed=0).web(np.random.default_rng(0), quality=1.0, pages=2000))
    words, often = zip(*Counter(re.findall(r"\bthe ([a-z]+)", pages)).most_common(12), strict=True)
    logits = np.log(np.array(often, np.float64))  # [W]
    frames = []
    for t in (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0):
        p = np.exp(sample.reference(logits[None], t, 0, 1.0))[0]
        frames.append(
            Frame(
                f"{t:g}",
                [p.tolist()],
                [
                    (f"chance of “{words[0]}”", f"{p[0]:.0%}"),
                    (f"chance of “{words[-1]}”", f"{p[-1]:.1%}"),
                    (
                        "as uncertain as a choice among",
                        f"{np.exp(-(p * np.log(np.maximum(p, 1e-300))).sum()):.1f} words",
                    ),
                ],
            )
        )
    return Play(
        "temperature",
        4,
        "Temperature.",
        "The twelve words that follow “the” most often in the simulated web, drawn by softmax(log count / T).",
        "Go to both ends. At 1 the words come as often as on the web; what is lost below, and what above?",
        "temperature T",
        "bars",
        list(words),
        "word after “the”",
        "probability",
        [Series("drawn at T", "sft")],
        frames,
        5,
    )


def labeler_noise() -> Play:
    """A reward model fitted to comparisons whose labelers are more or less sure of what they see."""
    world = micro_world(0)
    phi, truth = features(world), world.rewards  # [P, N, F], [P, N]
    start = world.response_logps(np.zeros((world.prompts, world.node_count, world.vocab)))
    centred = truth[0] - truth[0].mean()
    order = np.argsort(centred)
    frames = []
    for noise in (0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0):
        pairs = sample_preferences(np.random.default_rng(7), start, truth, 400, temperature=noise)
        chosen, rejected = phi[pairs.prompt, pairs.chosen], phi[pairs.prompt, pairs.rejected]  # [M, F]
        weights = fitted(lambda w, c=chosen, r=rejected: bradley_terry(c @ w, r @ w, center=0.01), phi.shape[-1], 100)  # type: ignore[misc]
        scores = (phi @ weights)[0]
        scores = (scores - scores.mean()) / scores.std()
        right = pair_accuracy(truth[pairs.prompt, pairs.chosen], truth[pairs.prompt, pairs.rejected])
        frames.append(
            Frame(
                f"{noise:g}",
                [scores[order].tolist()],
                [
                    ("labels that name the better response", f"{right:.0%}"),
                    ("correlation of reward and truth", f"{np.corrcoef(scores, centred)[0, 1]:.2f}"),
                ],
            )
        )
    return Play(
        "labeler-noise",
        7,
        "Labeler noise.",
        "All 85 responses to one prompt of the micro-world: what they are worth, and how a Bradley-Terry reward model "
        "fitted to 800 comparisons scores them. Labelers prefer a to b with probability sigmoid((u_a − u_b) / noise).",
        "How much noise can the labels have before the ranking goes?",
        "labeler noise",
        "points",
        centred[order].tolist(),
        "true utility (centred)",
        "learned reward (standardised)",
        [Series("one response", "ppo")],
        frames,
        2,
    )


def _even_base() -> tuple[MicroWorld, Array]:
    """A micro-world with 781 responses a prompt, and the base policy [P, N] that chooses among all tokens evenly."""
    world = MicroWorld(vocab=6, max_length=4, prompts=3, seed=0)
    return world, world.response_logps(np.zeros((world.prompts, world.node_count, world.vocab)))


def best_of_n() -> Play:
    """Where best-of-N's picks lie on the scale of the true reward, when a noisy proxy does the picking. Exact."""
    world, base = _even_base()
    gold = world.rewards
    proxy = gold + 0.7 * gold.std() * np.random.default_rng(1).standard_normal(gold.shape)
    edges = np.linspace(gold.min(), gold.max(), 17)
    bins = np.clip(np.digitize(gold, edges) - 1, 0, len(edges) - 2)

    def shares(logps: Array) -> list[float | None]:
        return list(np.bincount(bins.ravel(), np.exp(logps).ravel(), len(edges) - 1) / len(logps))

    frames = []
    for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024):
        picked = exact_best_of_n(base, proxy, n)
        frames.append(
            Frame(
                str(n),
                [shares(base), shares(picked)],
                [
                    ("proxy", f"{exact_reward(picked, proxy).mean():+.2f}"),
                    ("gold", f"{exact_reward(picked, gold).mean():+.2f}"),
                    ("wins against one draw", f"{exact_win_rate(picked, base, gold).mean():.0%}"),
                    ("KL to the base", f"{exact_kl(picked, base).mean():.2f}"),
                    ("log N − (N−1)/N", f"{best_of_n_kl_bound(n):.2f}"),
                ],
            )
        )
    centres = [f"{(a + b) / 2:.1f}" for a, b in pairwise(edges)]
    return Play(
        "best-of-n",
        8,
        "N in best-of-N.",
        "Draw N responses, keep the one that a noisy proxy likes best. How the true reward (gold) of the pick is "
        "distributed in the micro-world, exactly.",
        "Double N again and again. Which grows on, proxy or gold? When does the KL leave its bound?",
        "N",
        "bars",
        centres,
        "gold reward of the response",
        "probability",
        [Series("one draw", "base"), Series("best of N", "best_of_n")],
        frames,
        3,
    )


def clip_range() -> Play:
    """PPO's clipped objective of one token against the ratio, for either sign of the advantage."""
    ratios = np.linspace(0.05, 2.0, 79)

    def objective(advantage: float, clip: float) -> list[float | None]:
        one = np.ones((1, 1))
        return [-float(ppo.policy_loss(np.log(r) * one, 0 * one, advantage * one, one, clip)) for r in ratios]

    frames = []
    for clip in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9):
        up, down = objective(1.0, clip), objective(-1.0, clip)
        frames.append(
            Frame(
                f"{clip:g}",
                [up, down, ratios.tolist(), (-ratios).tolist()],
                [
                    ("A > 0: flat above", f"{1 + clip:g}"),
                    ("A < 0: flat below", f"{1 - clip:g}"),
                    ("most that can be gained at A = 1", f"{max(v for v in up if v is not None) - 1:+.2f}"),
                ],
            )
        )
    return Play(
        "clip-range",
        9,
        "PPO's clip range.",
        "The objective of one token whose advantage A is +1 or −1, against the ratio of the new and the old policy's "
        "probability; dashed without the clip.",
        "Where is the gradient zero? Why is A = −1 not flat on the right, where the token has become likelier?",
        "clip range ε",
        "lines",
        ratios.tolist(),
        "ratio π / π_old",
        "objective",
        [
            Series("A = +1", "best_of_n"),
            Series("A = −1", "ppo"),
            Series("A = +1, no clip", "best_of_n", dashed=True),
            Series("A = −1, no clip", "ppo", dashed=True),
        ],
        frames,
        3,
    )


def gae_lambda() -> Play:
    """How generalised advantage estimation shares out a reward that comes with the last token."""
    values = np.array([[0.2, 0.2, 0.25, 0.7, 0.65, 0.7, 0.4, 0.45, 0.5, 0.5]])  # [1, T]
    rewards = np.zeros_like(values)
    rewards[0, -1] = 1.0
    frames = []
    for lam in (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0):
        advantages, _ = gae(rewards, values, np.ones_like(values), gamma=1.0, lam=lam)
        frames.append(
            Frame(
                f"{lam:g}",
                [values[0].tolist(), advantages[0].tolist()],
                [
                    ("advantage of the first token", f"{advantages[0, 0]:+.2f}"),
                    ("of the sixth, after which the value falls", f"{advantages[0, 5]:+.2f}"),
                    ("of the last", f"{advantages[0, -1]:+.2f}"),
                ],
            )
        )
    return Play(
        "gae-lambda",
        9,
        "λ in generalised advantage estimation.",
        "Ten tokens, a reward of 1 with the last one, and the guesses of a value function on the way.",
        "At 0 only the next guess counts, at 1 only what came in the end. Which tokens change sign in between?",
        "λ",
        "bars",
        [str(t + 1) for t in range(values.shape[1])],
        "token",
        "value, advantage",
        [Series("value before the token", "base"), Series("advantage", "ppo")],
        frames,
        5,
    )


def dpo_beta() -> Play:
    """The policy that DPO with endless data ends at, in a language of seven responses."""
    world = MicroWorld(vocab=3, max_length=2, prompts=1, seed=1)
    reference = world.response_logps(np.random.default_rng(2).standard_normal((1, world.node_count, world.vocab)))
    texts = ["".join("ab"[token] for token in row if token < 2) or "(silence)" for row in world.responses]
    order = np.argsort(world.rewards[0])
    frames = []
    for beta in (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0):
        policy = optimal_policy(reference, world.rewards, beta)
        frames.append(
            Frame(
                f"{beta:g}",
                [np.exp(p[0][order]).tolist() for p in (reference, policy)],
                [
                    ("expected reward", f"{exact_reward(policy, world.rewards)[0]:+.2f}"),
                    ("of the reference", f"{exact_reward(reference, world.rewards)[0]:+.2f}"),
                    ("KL to the reference", f"{exact_kl(policy, reference)[0]:.2f}"),
                ],
            )
        )
    names = [f"{texts[i]} {world.rewards[0, i]:+.1f}" for i in order]
    return Play(
        "dpo-beta",
        10,
        "β in DPO.",
        "A language of two words and seven responses, sorted by reward. The policy reference · exp(reward / β) / Z "
        "is where DPO, and PPO too, would end with endless data.",
        "Make β small: what does the policy give up for the best response? Make it large: what is left of the reward?",
        "β",
        "bars",
        names,
        "response and its reward",
        "probability",
        [Series("reference", "base"), Series("optimal policy", "dpo")],
        frames,
        5,
    )


def dpo_family() -> Play:
    """Three losses on the same margin: never satisfied, satisfied from a point on, satisfied at a point."""
    margins = np.linspace(-10, 10, 81)
    zero = np.zeros(1)
    losses = {"sigmoid (DPO)": dpo.sigmoid, "hinge (SLiC)": dpo.hinge, "IPO, times β²": dpo.ipo}
    frames = []
    for beta in (0.05, 0.1, 0.2, 0.3, 0.5, 1.0):
        rows: list[list[float | None]] = []
        for name, loss in losses.items():
            scale = beta**2 if name.startswith("IPO") else 1.0
            y = [scale * float(loss(np.array([h]), zero, zero, zero, beta)) for h in margins]
            rows.append([value if value <= 4 else None for value in y])
        frames.append(
            Frame(
                f"{beta:g}",
                rows,
                [
                    ("DPO still pulls at h = 5 with weight", f"{float(sigmoid(np.array(-5 * beta))):.2f}"),
                    ("hinge is content from h =", f"{1 / beta:.3g}"),
                    ("IPO wants exactly h =", f"{1 / (2 * beta):.3g}"),
                ],
            )
        )
    return Play(
        "dpo-family",
        10,
        "What β means to DPO, hinge and IPO.",
        "The loss of one pair against the margin h = log-ratio of the chosen less that of the rejected response.",
        "Which loss pulls back a policy that has gone too far?",
        "β",
        "lines",
        margins.tolist(),
        "margin h",
        "loss",
        [Series("sigmoid (DPO)", "dpo"), Series("hinge (SLiC)", "sft"), Series("IPO, times β²", "ppo", dashed=True)],
        frames,
        2,
    )


def over_optimisation() -> Play:
    """Proxy and gold along the best policies for a proxy that is fond of one word. Exact."""
    world, base = _even_base()
    gold, times = world.rewards, (world.responses == 0).sum(axis=1)  # [P, N], [N]: how often the word is said
    distances = np.linspace(0, 2.2, 45)
    betas = np.geomspace(500, 0.02, 150)
    frames = []
    for bonus in (0.0, 0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5):
        proxy = gold + bonus * times
        policies = [optimal_policy(base, proxy, beta) for beta in betas]
        d = np.array([np.sqrt(exact_kl(p, base).mean()) for p in policies])
        means = np.array([[exact_reward(p, r).mean() for r in (proxy, gold)] for p in policies])
        rows = [np.interp(distances, d, means[:, i]) for i in range(2)]
        best = int(np.argmax(rows[1]))
        frames.append(
            Frame(
                f"{bonus:g}",
                [row.tolist() for row in rows],
                [
                    ("gold is highest at a distance of", f"{distances[best]:.2f}"),
                    ("gold there", f"{rows[1][best]:+.2f}"),
                    (f"gold at a distance of {distances[-1]:g}", f"{rows[1][-1]:+.2f}"),
                ],
            )
        )
    return Play(
        "over-optimisation",
        12,
        "A proxy that is fond of a word.",
        "Proxy and gold of the policies that are best for the proxy at each distance √KL from the base, in the "
        "micro-world. The proxy is gold, and a bonus each time that a certain word is said.",
        "From which bonus on does gold turn? How far should one go then, if only the proxy can be seen?",
        "bonus for the word",
        "lines",
        distances.tolist(),
        "distance √KL from the base",
        "mean reward",
        [Series("proxy", "ppo", dashed=True), Series("gold", "ppo")],
        frames,
        6,
    )
