# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Lesson 8: best-of-N
#
# **You will do:** improve an assistant without training it: let it answer N times, and keep what the reward model likes
# best. You will compute what that does exactly, estimate it without bias, and find where it stops to help.
#
# **You will learn:** the distribution of the best of n, and how far it is from where it started; why one set of samples
# draws the whole curve over n; what picking can find, and that it finds nothing in samples that are all alike.
#
# **You need:** lesson 7's reward model (trained for you if it is not there), and about two minutes on two cores.

# %%
from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np
from matplotlib.figure import Figure

from lessons.experiments import Lab, measure, village
from lessons.experiments.candidates import candidates, scored
from lessons.experiments.measured.micro_reward import micro_world
from lessons.experiments.measured.picking import (
    SIZES,
    TEMPERATURES,
    at,
    by_temperature,
    gains,
    sft_candidates,
    village_gains,
)
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import curve, heat, sweep
from minipost import losses
from minipost.losses import best_of_n_estimate, best_of_n_kl_bound, best_of_n_pmf, exact_kl
from minipost.report.style import canvas, colour, styled
from minipost.world.micro import exact_best_of_n, exact_reward
from minipost.world.utility import Weights

lab = Lab()

# %% [markdown]
# ## 1. The best of n, exactly
#
# *Takeaway: if F is the chance that one answer scores at most s, then F to the n is the chance that the best of n
# does.*
#
# In a world so small that all responses can be written down (85 to each prompt), nothing needs to be sampled. Sort
# the responses by their score, let $p_i$ be the probability of response $i$ and $F_i = p_1 + \dots + p_i$. The best
# of $n$ scores at most as high as $i$ if all $n$ do. Hence
#
# $$P(\text{pick} = i) = F_i^n - F_{i-1}^n .$$
#
# That line is all the theory that there is. In plain NumPy, beside the package's version, which must not lose the small
# ones to rounding and must share fairly among ties:


# %%
def pick_pmf(p, n):  # [M], sorted by score -> [M]
    F = np.cumsum(p)
    return F**n - (F - p) ** n


source_of(losses.best_of_n.best_of_n_log_ratio)
rng = np.random.default_rng(0)
p = rng.dirichlet(np.ones(6))  # six outcomes, no two with equal scores
for n in (1, 2, 16):
    assert np.allclose(pick_pmf(p, n), best_of_n_pmf(p, np.arange(6.0), n))

# %% [markdown]
# **Predict:** the start policy below says words at random. From n = 1 to 64, does the distribution of the picked
# utility move as a whole, or does it pile up at the right?

# %%
world = micro_world(0)
start = world.response_logps(np.zeros((world.prompts, world.node_count, world.vocab)))  # [P, N]
print("log-probabilities of all responses", start.shape, "and their utilities", world.rewards.shape)


@styled
def utilities(sizes: Sequence[int]) -> Figure:
    """The distribution of the pick's utility for several n, when the utility itself picks."""
    figure, ax = canvas(None)
    edges = np.linspace(world.rewards[0].min(), world.rewards[0].max(), 16)
    for n, hue, style in zip(sizes, ("base", "sft", "best_of_n", "ppo"), (":", "-.", "--", "-"), strict=True):
        chance = np.exp(exact_best_of_n(start, world.rewards, n)[0])
        ax.hist(
            world.rewards[0],
            edges.tolist(),
            weights=chance,
            histtype="step",
            color=colour(hue),
            linestyle=style,
            linewidth=1.8,
            label=f"n = {n}",
        )
    ax.legend(loc="upper left")
    ax.set(xlabel="utility of the pick", ylabel="probability")
    return figure


show(
    utilities((1, 4, 16, 64)),
    "pick",
    alt="Four histograms of the pick's utility. For n = 1 it is broad and low; with growing n the mass moves to the "
    "right and piles up at the best responses.",
)
exact = {n: float(exact_reward(exact_best_of_n(start, world.rewards, n), world.rewards).mean()) for n in SIZES}
table(["n", "expected utility, exactly"], [[n, f"{value:+.3f}"] for n, value in exact.items()])

# %% [markdown]
# ## 2. How far it goes: log n - (n - 1)/n
#
# *Takeaway: best-of-n moves away from its start by at most log n - (n - 1)/n nats; 64 answers are about three nats.*
#
# $KL(\text{best-of-}n \,\|\, \text{start}) = \sum_i q_i \log (q_i / p_i)$. With very many outcomes of small probability
# $q_i / p_i \to n F_i^{n-1}$, and $F$ of the pick is distributed as the largest of $n$ uniform numbers, with density
# $n f^{n-1}$. Then
#
# $$KL \to \int_0^1 n f^{n-1} \log\!\left(n f^{n-1}\right) df = \log n - \frac{n - 1}{n}.$$
#
# Often quoted as *the* KL of best-of-n, it is a bound (Beirami et al. 2024): where a few outcomes hold much of the
# probability, there is less to choose from, and the pick cannot be further from the start than $-\log p_\text{best}$.
#
# **Predict:** a policy that is nearly sure of its answer. With 4 samples, how far does best-of-n move it? With 4096?

# %%
source_of(best_of_n_kl_bound)
sizes = [2**k for k in range(13)]
logits = np.random.default_rng([0, 34]).standard_normal((world.prompts, world.node_count, world.vocab))
spread = {"random words": 0.0, "a policy": 2.0, "the same, sharper": 8.0}
distance = {"the bound": [best_of_n_kl_bound(n) for n in sizes]}
for name, sharpness in spread.items():
    base = world.response_logps(sharpness * logits)
    distance[name] = [float(exact_kl(exact_best_of_n(base, world.rewards, n), base).mean()) for n in sizes]
    best = base[np.arange(world.prompts), world.rewards.argmax(axis=1)]
    assert all(kl <= bound + 1e-9 for kl, bound in zip(distance[name], distance["the bound"], strict=True))  # P75
    assert distance[name][-1] <= -best.mean() + 1e-9
show(
    curve(sizes, distance, "n", "KL from the start, nats", log="x"),
    "kl",
    alt="KL against n on a logarithmic axis. The bound rises by log 2 with each doubling. Random words follow it "
    "until all responses have been seen, a policy leaves it earlier, and the sharper one stays near 0 at first, as its "
    "samples are all alike.",
)
say(
    f"At n = 4096 the bound says {distance['the bound'][-1]:.2f} nats. Random words are at "
    f"{distance['random words'][-1]:.2f}, the sharpest policy at {distance['the same, sharper'][-1]:.2f}. A plot of "
    "gold against *the bound* therefore makes best-of-n look more expensive than it is, never less."
)

# %% [markdown]
# ## 3. One set of samples, every n
#
# *Takeaway: from N scored samples the reward of best-of-n follows for every n up to N, without bias.*
#
# In the large world we can only sample. To learn what best-of-4 earns one could draw four answers, pick, and repeat.
# But N = 64 answers contain $\binom{64}{4}$ = 635,376 sets of four! Sort them by proxy, from the worst to the best:
# the $i$-th is the best of exactly $\binom{i-1}{n-1}$ sets of $n$. So the mean over all sets is (Nakano et al. 2021,
# appendix I)
#
# $$\hat R(n) = \sum_{i=n}^{N} \frac{\binom{i-1}{n-1}}{\binom{N}{n}}\; \text{gold}_{(i)} .$$
#
# First by brute force, then the package's own, which never builds a factorial:

# %%
proxy, gold = rng.normal(size=7), rng.normal(size=7)  # [N], [N]
brute = [
    np.mean([gold[max(chosen, key=lambda i: proxy[i])] for chosen in combinations(range(7), n)]) for n in range(1, 8)
]
source_of(best_of_n_estimate, docstring=False)
estimate = best_of_n_estimate(proxy, gold)
assert np.allclose(estimate, brute)  # P72
assert comb(64, 4) == 635_376
passes = np.array([0, 0, 0, 0, 1, 1, 0.0])
pass_at_k = [1 - comb(5, k) / comb(7, k) for k in range(1, 8)]
assert np.allclose(best_of_n_estimate(passes, passes), pass_at_k)  # P77: with rewards of 0 and 1 it is pass@k

# %% [markdown]
# A tempting shortcut is to *resample*: draw n of the N samples with replacement, pick, repeat. It looks unbiased and
# is not: a draw with replacement may contain the same answer twice, so that it is the best of fewer.
#
# **Predict:** one of four samples is right. What do both say about best-of-4, when all four are at hand?

# %%
right = np.array([0.0, 0.0, 0.0, 1.0])
F = np.arange(5) / 4
resampled = [float(right @ (F[1:] ** n - F[:-1] ** n)) for n in range(1, 5)]  # the resampler's own expectation
table(
    ["n", "all sets of n", "resampled with replacement"],
    [
        [n, f"{a:.3f}", f"{b:.3f}"]
        for n, a, b in zip(range(1, 5), best_of_n_estimate(right, right), resampled, strict=True)
    ],
)

# %% [markdown]
# All four are at hand, one is right: the best of them is right. The second column says so. The bug at the end of this
# lesson is the third.
#
# ## 4. Without any training
#
# *Takeaway: a handful of answers buys most of what this reward model can find; the best that is there is far better.*
#
# Now the village: 64 answers of lesson 5's assistant to each of 80 held-out prompts, scored by lesson 7's reward model.
# Both are counted in the same unit: a logit of the reward model is worth $T$ of utility, the labelers' temperature,
# because that is how they turn utilities into choices.
#
# **Predict:** draw two curves over n, the score that picks and the true utility. Do they part? Does the gold turn down?

# %%
seeds = range(lab.pick(3, 2))
both = [village_gains(lab, seed) for seed in seeds]
found = sft_candidates(lab, 0)
ceiling = gains(found, found.gold)[1]
shown = [n for n in SIZES if n <= len(ceiling)]
lines = {
    "proxy": [np.mean([at(proxy, n) for proxy, _ in both]) for n in shown],
    "gold": [np.mean([at(gold, n) for _, gold in both]) for n in shown],
    "gold, if the truth picked": [at(ceiling, n) for n in shown],
}


def over_n(lines, y_name):
    """Lines over n, each doubling as wide as the one before."""
    figure = curve(shown, lines, "n, answers to choose from", y_name, log="x")
    figure.axes[0].set_xticks(shown, [str(n) for n in shown], minor=False)
    figure.axes[0].minorticks_off()
    return figure


show(
    over_n(lines, "gain over one answer"),
    "village",
    alt="Gain over a single answer against n: the proxy's own account, the gold utility of what it picks, and the gold "
    "that picking by the utility itself would reach, which is far higher.",
)
helps, saturates, lags = (
    measure("best-of-n-helps", lab),
    measure("gold-saturates", lab),
    measure("gold-lags-proxy", lab),
)
say(f"Does picking help without any training? **Verdict:** {helps}.")
say(f"Does each fourfold of answers gain less? **Verdict:** {saturates}.")
say(f"Does the proxy promise more than the gold keeps? **Verdict:** {lags}.")
share = lines["gold"][-1] / lines["gold, if the truth picked"][-1]
say(
    f"With {shown[-1]} answers the pick gains {lines['gold'][-1]:+.2f}. Somewhere among as many answers is one that "
    f"gains {lines['gold, if the truth picked'][-1]:+.2f}: the reward model finds {100 * share:.0f} % of what is there."
)

# %%
show(
    sweep(helps.arms, "gain in gold utility", control="best of 1", knob="answers to pick from"),
    "helps",
    alt="Gold gain of best-of-n over a single answer for n from 1 to 64, one dot a seed with mean and interval.",
)

# %% [markdown]
# ### What the picks gain in
#
# The utility is a sum of terms, so the gain can be taken apart. The same estimator does it: put a term where the gold
# was.

# %%
scores = scored(lab, village.reward(lab), found)
weights = Weights()
terms = {"correct": weights.correct, "tone": weights.tone, "form": weights.form, "length": weights.length}


def gain_in(term: np.ndarray) -> list[float]:
    """What best-of-n gains in one term [T, N] of the utility, for the n that are shown."""
    by_n = np.mean([best_of_n_estimate(s, x) for s, x in zip(scores, term, strict=True)], axis=0)
    return [float(by_n[n - 1] - by_n[0]) for n in shown]


parts = {name: weight * np.array(gain_in(found.terms[name])) for name, weight in terms.items()}
show(
    over_n(parts, "gain, in units of utility"),
    "terms",
    alt="The gain of best-of-n by term of the utility against n: correctness, tone, form and length, one line each.",
)
largest = max(parts, key=lambda name: float(parts[name][-1]))
say(
    f"With seed 0 and {shown[-1]} answers the picks gain most in *{largest}* ({parts[largest][-1]:+.2f}); in "
    f"correctness, the term of the largest weight, it is {parts['correct'][-1]:+.2f}. The reward model can only pick "
    "by what it sees (lesson 7, section 6)."
)

# %% [markdown]
# ## 5. It lives on diversity
#
# *Takeaway: picking can only choose among what is there; samples that are all alike leave nothing to choose.*
#
# At temperature 0 all N answers are the same, and the best of them is any of them. At a high temperature they differ,
# and most are bad. First exactly, in the small world and with the utility itself as the judge:
#
# **Predict:** does the *gain* over a single answer grow with the temperature for ever? And the utility of the pick?

# %%
exactly = measure("gain-needs-spread", lab)
show(
    sweep(exactly.arms, "exact gain of best-of-16", control="0.1", knob="temperature"),
    "spread",
    alt="Exact gain of best-of-16 over a single answer against the temperature, one dot a seed; it grows with the "
    "temperature, and at the lowest some seeds gain next to nothing.",
)
say(f"**Verdict:** {exactly}.")

# %% [markdown]
# ### One knob: the temperature of the village's assistant
#
# The control is a single answer at the same temperature.

# %%
diverse = measure("diversity-feeds-best-of-n", lab)
show(
    sweep(diverse.arms, "gain in gold of best-of-16", control="0.3", knob="temperature"),
    "diversity",
    alt="Gain in gold utility of best-of-16 over a single answer against the temperature, one dot a seed with mean and "
    "interval.",
)
greedy = candidates(lab, village.sft(lab), tasks=80, count=4, temperature=0.0)
assert (greedy.texts == greedy.texts[:, :1]).all()
say(f"**Verdict:** {diverse}.")
say("At temperature 0 all answers to a prompt are the same text, and the gain is 0 for every n.")

# %% [markdown]
# The gain is one thing, what one ends up with another: a high temperature starts from worse answers. Which cell below
# is best?

# %%
counts = [n for n in SIZES if n <= min(16, len(ceiling))]
cells = []
for temperature in TEMPERATURES:
    answers, by = by_temperature(lab, 0, temperature)
    curve_of = np.mean([best_of_n_estimate(s, g) for s, g in zip(by, answers.gold, strict=True)], axis=0)
    cells.append([float(curve_of[n - 1]) for n in counts])
grid = np.array(cells)  # [temperatures, n]
show(
    heat(
        grid,
        [str(t) for t in TEMPERATURES],
        [str(n) for n in counts],
        x_name="n",
        y_name="temperature",
        title="gold utility of the pick",
    ),
    "grid",
    alt="Gold utility of best-of-n for four temperatures (rows) and n up to 16 (columns): numbers on a scale of blues.",
)
row, column = np.unravel_index(int(grid.argmax()), grid.shape)
say(
    f"With one answer temperature {TEMPERATURES[int(grid[:, 0].argmax())]} is best, with {counts[-1]} it is "
    f"{TEMPERATURES[int(grid[:, -1].argmax())]}. The best cell is {grid.max():+.2f}, at temperature "
    f"{TEMPERATURES[row]} and n = {counts[column]}."
)

# %% [markdown]
# ## 6. What it costs
#
# *Takeaway: best-of-N moves the cost from training to every single answer, for ever.*
#
# No gradient, no second model in training, nothing that can diverge, and the reward model can be replaced tomorrow.
# But each answer costs N answers. That is why best-of-N is used where answers are few and valuable, to make
# demonstrations for a next round of finetuning (*rejection sampling*, Touvron et al. 2023, section 3.2.3), and as the
# yardstick in lessons 9 to 12: a policy trained by PPO or DPO should be compared with the best-of-n that is equally
# far from the start.

# %%
table(
    ["n", "answers sampled", "KL at most", "gold gain", "gain a nat"],
    [
        [n, n, f"{best_of_n_kl_bound(n):.2f}", f"{g:+.2f}", f"{g / best_of_n_kl_bound(n):.2f}" if n > 1 else "–"]
        for n, g in zip(shown, lines["gold"], strict=True)
    ],
)

# %% [markdown]
# ## What the metrics say
#
# | Metric | What it should look like | What it means if it does not |
# |-|-|-|
# | `proxy` over n | never falls (law P73) | the estimate is biased, or ties are broken by position |
# | `gold` over n | rises with the proxy at first, then less | falls at once: a sign is wrong; turns late: lesson 12 |
# | `gold_ci95` | narrows with more *prompts* | more answers to the same prompts do not narrow it |
# | `kl` | a bound, log n - (n - 1)/n | taken for the truth: best-of-n looks more expensive than it is |
# | share of equal answers | small at the serving temperature | near 1: there is nothing to pick from |
#
# ## Exercises
#
# The stubs are in `exercises.py`; `minipost exercise 8` checks them, and `--hint` helps in steps.
#
# 1. **`pick_pmf`**: the distribution of the pick when scores tie.
# 2. **`pick_kl`**: the exact KL of section 2, safe for outcomes of probability 0.
# 3. **`pass_at_k`**: the estimator for rewards of 0 and 1, at N = 10,000 without overflow.
# 4. **`best_of_n_curve`** has a hidden bug. It looks like section 3, and a validation metric shipped with it.
# 5. *Open:* let the pick be the most *typical* of the N answers instead, with no reward model (as majority voting
#    does). For which kinds of task does that beat the reward model, and why?
#
# ## This bug shipped
#
# Resampling with replacement, in a library's validation metric `best@k`. First people wondered why best@N of a single
# problem lay between 0 and 1, and the case k = N was special-cased:
# [verl#1320](https://github.com/verl-project/verl/pull/1320). Then it was argued that resampling is still meaningful
# there: [verl#1419](https://github.com/verl-project/verl/pull/1419). A later pull request works out the smallest
# counterexample (one right of four: 0.684 instead of 1) and adds the unbiased estimate beside it:
# [verl#7240](https://github.com/verl-project/verl/pull/7240). Law P72 is that counterexample.
#
# How people came to want best-of-n, as a baseline without RL: [trl#140](https://github.com/huggingface/trl/issues/140).
#
# ## References
#
# - Stiennon et al. 2020, *Learning to summarize from human feedback*: best-of-n against a reward model.
# - Nakano et al. 2021, *WebGPT*, appendix I: the unbiased estimate.
# - Beirami et al. 2024, *Theoretical guarantees on the best-of-n alignment policy*, theorem 1: the bound.
# - Gao et al. 2022, *Scaling laws for reward model overoptimization*, section 3: best-of-n against RL at equal KL.
# - Touvron et al. 2023, *Llama 2*, section 3.2.3: rejection sampling.
# - Chen et al. 2021, *Evaluating large language models trained on code*, eq. 1: pass@k.
