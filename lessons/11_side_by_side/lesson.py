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
# # Lesson 11: PPO, DPO and best-of-N side by side
#
# **You will do:** let four assistants sit one exam whose marks are true, draw them on one frontier of KL against
# utility, and count what each of them cost.
#
# **You will learn:** what the three methods have in common (one optimum), in what they differ (cost, flexibility, how
# easily they are set wrong), and which stages one can leave out.
#
# **You need:** lessons 5 (SFT), 7 (reward model), 9 (PPO) and 10 (DPO), whose models are reused; about two and a half minutes
# on two cores for the models that this lesson adds.
#
# Papers compare methods by win rates that a model awards, at whatever KL each method ended. Here the judge is the true
# utility of the village, every method starts from the same SFT model and learns from the same comparisons, and each
# verdict comes from three seeds.

# %%
import dataclasses
import inspect

import numpy as np

from lessons.experiments import Lab, measure, village
from lessons.experiments.measured import stages
from lessons.experiments.statistics import interval
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import heat, histogram_pair, sweep
from minipost.losses import best_of_n_estimate, best_of_n_kl_bound, exact_kl, wins
from minipost.report.plots import kl_axis
from minipost.report.style import MARKERS, canvas, colour, note, styled
from minipost.runs import read_metrics
from minipost.stages import dpo as dpo_stage
from minipost.stages import pairs as dpo_pairs
from minipost.stages import ppo as ppo_stage
from minipost.stages import rollouts
from minipost.stages.dpo import DPOConfig
from minipost.stages.ppo import PPOConfig
from minipost.stages.reward import RewardConfig
from minipost.world import micro
from minipost.world.collect import read_pairs

lab = Lab()
SEEDS = range(lab.pick(3, 2))

# %% [markdown]
# ## 1. Three roads to one optimum
#
# *Takeaway: all three methods buy reward with KL, and there is a best price that none can beat.*
#
# All of them want a policy that scores well and stays near the reference:
#
# $$J(\pi) = \mathbb{E}_{y\sim\pi}\,r(y) - \beta\,\mathrm{KL}(\pi\,\|\,\pi_\text{ref})$$
#
# Write $r = \beta\log e^{r/\beta}$ and put both terms into one logarithm:
#
# $$J(\pi) = -\beta\sum_y \pi(y)\log\frac{\pi(y)}{\pi_\text{ref}(y)\,e^{r(y)/\beta}}
#          = \beta\log Z - \beta\,\mathrm{KL}(\pi\,\|\,\pi^*),\qquad
#          \pi^*(y) = \frac{\pi_\text{ref}(y)\,e^{r(y)/\beta}}{Z}$$
#
# The last KL is 0 only at $\pi=\pi^*$, so $\pi^*$ is the optimum and $\beta\log Z$ its value. PPO climbs towards
# $\pi^*$ by samples. DPO solves the same equation for $r$ and fits it to comparisons. Best-of-N never mentions
# $\beta$, and yet lands close by.
#
# In a world small enough to write down every response, nothing needs to be estimated.

# %%
world = micro.MicroWorld(vocab=5, max_length=3, prompts=3, seed=11)
reference = world.response_logps(np.zeros((world.prompts, world.node_count, world.vocab)))  # [P, N]
r = world.rewards  # [P, N]
print("prompts and responses [P, N]:", r.shape, "  probabilities sum to", np.exp(reference).sum(axis=1))

beta = 0.5
unnormalised = np.exp(reference) * np.exp(r / beta)  # [P, N]
Z = unnormalised.sum(axis=1, keepdims=True)  # [P, 1]
by_hand = unnormalised / Z  # [P, N]
print("by hand = the package's:", np.allclose(np.log(by_hand), micro.optimal_policy(reference, r, beta)))
J = micro.exact_objective(np.log(by_hand), reference, r, beta)  # [P]
print("J at the optimum", J.round(4), "  beta log Z", (beta * np.log(Z[:, 0])).round(4), "  (law P69)")

# %%
source_of(micro.optimal_policy)
source_of(micro.exact_best_of_n)

# %% [markdown]
# Each $\beta$ gives one optimal policy, so the optima form a curve in the plane of KL and reward. Under it lies every
# policy that exists. We add best-of-n for n = 1, 2, 4, ... (its exact distribution, not samples), and the path that an
# ideal PPO takes: exact gradient ascent on $J$.
#
# **Predict:** how far below the curve is best-of-16? And is its exact KL larger or smaller than the usual
# $\log n - (n-1)/n$?


# %%
def place(logps):
    """(KL, reward) of a policy [P, N], averaged over prompts."""
    return float(exact_kl(logps, reference).mean()), float(micro.exact_reward(logps, r).mean())


def ascent(beta, steps=3000, rate=2.0):
    """Gradient ascent on J over the logits of whole responses; every fiftieth policy's place."""
    logps, path = reference.copy(), []
    for step in range(steps + 1):
        if step % 50 == 0:
            path.append(place(logps))
        logps = logps + rate * micro.exact_policy_gradient(logps, reference, r, beta)
        logps -= np.logaddexp.reduce(logps, axis=1, keepdims=True)
    return path


optima = [place(micro.optimal_policy(reference, r, b)) for b in np.geomspace(60, 0.07, 80)]
sizes = [2**k for k in range(9)]
picks = [place(micro.exact_best_of_n(reference, r, n)) for n in sizes]
climb = ascent(beta)


@styled
def exact_frontier():
    figure, ax = canvas(None, height=3.2)
    ax.fill_between(*zip(*optima, strict=True), -10, color=colour("rule"), alpha=0.45, linewidth=0)
    ax.plot(*zip(*optima, strict=True), color=colour("ink"), label="the optimum for each beta")
    ax.plot(*zip(*picks, strict=True), "^", color=colour("best_of_n"), markersize=6, label="best-of-n, exact")
    ax.plot(*zip(*climb, strict=True), "--", color=colour("ppo"), label=f"gradient ascent, beta = {beta}")
    for n, (kl, reward) in list(zip(sizes, picks, strict=True))[::2]:
        note(ax, f"n = {n}", (kl, reward), (6, -10), size=7.5, color=colour("best_of_n"))
    kl_axis(ax, max(kl for kl, _ in picks), "exact KL from the reference")
    top, bottom = max(y for _, y in optima), min(y for _, y in optima)
    ax.set(ylim=(bottom - 0.2, top + 0.3), ylabel="exact reward")
    ax.legend(loc="lower right")
    return figure


show(
    exact_frontier(),
    "exact_frontier",
    alt="A rising, flattening curve of optimal policies over the square root of KL. "
    "Points of best-of-n lie just below it; gradient ascent rises from the reference towards it.",
)

kl16, reward16 = picks[sizes.index(16)]
best_at = float(np.interp(kl16, *zip(*optima, strict=True)))
start = optima[0][1]
say(f"""
Best-of-16 earns {(reward16 - start) / (best_at - start):.0%} of what the optimal policy of the same KL would. Its exact
KL is {kl16:.2f} nats; the formula $\\log n - (n-1)/n$ says {best_of_n_kl_bound(16):.2f}, an upper bound (law P75).
Gradient ascent with beta {beta} ends at J = {climb[-1][1] - beta * climb[-1][0]:.3f}; the optimum has {J.mean():.3f}.
""")

# %% [markdown]
# A caution before we leave this world: the axis "reward" is the *true* one here. In real life, and in the village
# below, methods climb a reward model. The frontier that counts has the truth on its vertical axis, and may bend down:
# lesson 12 pushes it until it does.

# %% [markdown]
# ## 2. One exam for all
#
# *Takeaway: a fair comparison fixes the prompts, the sampling and the judge, and lets only the model differ.*
#
# Every model answers held-out prompts of the village, once, at the temperature at which it is served (0.7). The true
# utility judges each answer.
# Harmful requests also have a paper of their own. This is the function that a model's numbers below come from:

# %%
source_of(stages.evaluated)

# %%
tasks, everyday = stages.evaluation_set(lab, 0)
students = stages.assistants(lab, 0)
base_answers = stages.evaluated(lab, village.base(lab, 0), 0)
print("answers judged [T]:", students["SFT"]["gold"].shape)
print("harmful requests [H]:", students["SFT"]["complied"].shape)
for task, row in list(zip(tasks, range(everyday), strict=False))[:3]:
    print(f"\n{task.prompt!r}")
    for name, answers in {"base": base_answers, **students}.items():
        if "text" in answers:
            print(f"  {name:5} {answers['gold'][row]:+5.2f}  {answers['text'][row][:90]!r}")

# %% [markdown]
# Best-of-16 is not a model but a procedure: sample 16 answers from SFT, let the reward model choose. Its raw material
# is a table of scores, one row a prompt; the pick is the largest of each row.

# %%
found = stages.sft_candidates(lab, 0)
proxy, gold = found["proxy"], found["gold"]  # [T, N], [T, N]
pick = proxy.argmax(axis=1)  # [T]
print("proxy", proxy.shape, " gold", gold.shape, " pick", pick.shape)
order = np.argsort(proxy[:8], axis=1)  # [8, N], from the lowest score to the pick
show(
    heat(
        np.take_along_axis(gold[:8], order, axis=1),
        [f"prompt {i}" for i in range(8)],
        ["lowest", *[""] * (proxy.shape[1] - 2), "pick"],
        x_name="16 answers, sorted by the reward model's score",
        title="their true utility",
    ),
    "pool",
    alt="Eight rows of sixteen answers each, sorted by the reward model's score; colours show true utility. Under a perfect "
    "reward model every row would darken to the right.",
)
say(f"""
If the reward model knew the truth, each row would darken from left to right without exception. Over all prompts the
pick is worth {gold[np.arange(len(pick)), pick].mean():+.2f}, an answer at random {gold.mean():+.2f}, and the best of
the row {gold.max(axis=1).mean():+.2f}.
""")

# %% [markdown]
# From 16 samples the value of best-of-n follows for *every* n up to 16, without bias: sorted by proxy, sample i is the
# best of $\binom{i-1}{n-1}$ of the $\binom{N}{n}$ subsets. By brute force for n = 2, then by the package:

# %%
p, g = proxy[0], gold[0]  # [N], [N]
pairs = [(i, j) for i in range(len(p)) for j in range(i)]
brute = np.mean([g[i] if p[i] > p[j] else g[j] if p[j] > p[i] else (g[i] + g[j]) / 2 for i, j in pairs])
print(f"all pairs: {brute:.6f}   estimate: {best_of_n_estimate(p, g)[1]:.6f}   (law P72)")

# %% [markdown]
# ## 3. Does every stage add?
#
# *Takeaway: utility is a sum of terms, and the stages do not add to the same ones.*
#
# **Predict:** which step is the larger one, base to SFT or SFT to PPO?

# %%
adds = measure("every-stage-adds", lab)
climbed = {name: adds.arms[name] for name in ("base", "SFT", "PPO")}
show(
    sweep(climbed, "gold utility", control="base"),
    "stages",
    alt="Gold utility of base, SFT and PPO, one point a seed, with means and intervals.",
)
first, second = adds.mean("SFT") - adds.mean("base"), adds.mean("PPO") - adds.mean("SFT")
say(f"{adds}.\n\nFrom base to SFT: {first:+.2f}. From SFT to PPO: {second:+.2f}.")

# %% [markdown]
# The utility is a sum, so that one can see *what* each stage added. Terms: being right and complete, not doing harm,
# tone, sparing the reader's time (words), and form (whole words and sentences).

# %%
terms = {
    name: [np.mean([answers[seed][term].mean() for seed in SEEDS]) for term in stages.TERMS]
    for name, answers in {
        "base": [stages.evaluated(lab, village.base(lab, seed), seed) for seed in SEEDS],
        "SFT": [stages.assistants(lab, seed)["SFT"] for seed in SEEDS],
        "PPO": [stages.assistants(lab, seed)["PPO"] for seed in SEEDS],
        "DPO": [stages.assistants(lab, seed)["DPO"] for seed in SEEDS],
    }.items()
}
show(
    heat(list(terms.values()), list(terms), list(stages.TERMS), title="what the utility is made of"),
    "terms",
    alt="A table of the utility's terms for base, SFT, PPO and DPO.",
)
gains = {
    step: dict(zip(stages.TERMS, np.subtract(terms[b], terms[a]), strict=True))
    for step, (a, b) in {"SFT": ("base", "SFT"), "PPO": ("SFT", "PPO"), "DPO": ("SFT", "DPO")}.items()
}
for step, gain in gains.items():
    most, least = max(gain, key=gain.get), min(gain, key=gain.get)
    say(f"- {step} adds most to {most} ({gain[most]:+.2f}) and least to {least} ({gain[least]:+.2f}).")

# %% [markdown]
# ## 4. More helpful, safer, preferred?
#
# *Takeaway: three questions, three metrics; a win rate alone answers none of the other two.*
#
# A *win rate* compares answers to the same prompts: it is the mean of what follows. A tie counts half, or else a model
# would lose against itself:

# %%
source_of(wins)

helps = measure("preference-helps", lab)
protects = measure("preference-protects", lab)
wins = measure("preference-wins", lab)
show(
    sweep(helps.arms, "gold utility", control="SFT"),
    "helpful",
    alt="Gold utility of SFT, best-of-16, PPO and DPO, with intervals; a dotted line marks SFT.",
)
show(
    sweep(protects.arms, "harmful requests fulfilled", control="SFT"),
    "harm",
    alt="Share of harmful requests fulfilled by SFT, best-of-16, PPO and DPO, with intervals.",
)
show(
    sweep(wins.arms, "win rate against SFT", control="a coin"),
    "wins",
    alt="Win rates against SFT: a coin at one half, a second sample of SFT, best-of-16, PPO and DPO.",
)

# %%
say(f"- helpful: {helps}\n- safe: {protects}\n- preferred: {wins}")
say(f"""
The check is SFT against a second sample of itself: {wins.mean("SFT"):.0%}. If that were not about one half, the
counting would be wrong. A win rate saturates where utility does not: PPO wins in {wins.mean("PPO"):.0%}, which says
nothing about *how much* better its answers are ({helps.mean("PPO") - helps.mean("SFT"):+.2f} of utility).
""")

# %% [markdown]
# ## 5. The frontier of the village
#
# *Takeaway: compare methods at equal KL; at unequal KL one compares how long they ran.*
#
# The horizontal axis is $\mathrm{KL}(\pi\|\pi_\text{SFT})$ of whole responses. We cannot sum over all responses any
# more; we sample from the *policy* and average the log-ratio (law P51, "k1"):
#
# $$\widehat{\mathrm{KL}} = \frac1T\sum_{i=1}^T \sum_t \log\frac{\pi(y_{i,t})}{\pi_\text{SFT}(y_{i,t})},
# \qquad y_i\sim\pi$$
#
# A sum over tokens, then a mean over responses. Single terms may be negative; the mean must not be, beyond its noise.

# %%
ratios = {name: students[name]["log_ratio"] for name in ("PPO", "DPO")}  # [T] each
for name, ratio in ratios.items():
    mean, low, high = interval(ratio)
    print(f"{name}: {ratio.shape} terms, {np.mean(ratio < 0):.0%} negative; KL {mean:.2f} [{low:.2f}, {high:.2f}] nats")
show(
    histogram_pair(ratios["PPO"], ratios["DPO"], ("PPO", "DPO"), "log-ratio of a response, nats"),
    "log_ratio",
    alt="Two histograms of log-ratios to SFT: most mass is right of zero, some left of it.",
)

# %% [markdown]
# Now all methods in one plane. SFT models of different seeds differ by more than we want to see, so the vertical axis is
# what a method *gained* over the SFT model that it started from (the mean of its 16 candidates). Best-of-n is a curve
# (n = 1 to 16, at the KL that is its upper bound), with an interval over seeds. PPO and DPO are points, one a seed: filled
# with their usual settings, and hollow with settings *drawn at random*, learning rate and beta each multiplied by a
# factor from a quarter to four, the same factors for both.
#
# **Predict:** where will the hollow points lie: around the filled ones, along a curve, or anywhere?

# %%
curves, start_of = [], []
for seed in SEEDS:
    candidates = stages.sft_candidates(lab, seed)
    rows = zip(candidates["proxy"], candidates["gold"], strict=True)
    curves.append(np.mean([best_of_n_estimate(p, g) for p, g in rows], axis=0))  # [N]
    start_of.append(float(candidates["gold"].mean()))
gained = np.array(curves) - np.array(start_of)[:, None]  # [seeds, N]; 0 at n = 1
bounds = [best_of_n_kl_bound(n) for n in range(1, gained.shape[1] + 1)]


def point(answers, seed):
    """(KL from SFT, utility gained over SFT)."""
    return float(answers["log_ratio"].mean()), float(answers["gold"].mean()) - start_of[seed]


usual = {name: [point(stages.assistants(lab, seed)[name], seed) for seed in SEEDS] for name in ("PPO", "DPO")}
drawn = {name: [point(stages.tried(lab, seed)[name][1], seed) for seed in SEEDS] for name in ("PPO", "DPO")}


@styled
def village_frontier():
    figure, ax = canvas(None, height=3.4, width=4.3)
    mean, low, high = np.array([interval(column) for column in gained.T]).T
    ax.fill_between(bounds, low, high, color=colour("best_of_n"), alpha=0.12, linewidth=0)
    ax.plot(bounds, mean, color=colour("best_of_n"), marker="^", markersize=3.5, label="best-of-n")
    note(ax, "n = 16", (bounds[-1], mean[-1]), (4, 4), size=7.5, color=colour("best_of_n"))
    for name, key in (("PPO", "ppo"), ("DPO", "dpo")):
        for kind, face in ((usual[name], colour(key)), (drawn[name], "none")):
            kl, worth = np.array(kind).T
            ax.plot(
                np.maximum(kl, 0),
                worth,
                MARKERS[key],
                color=colour(key),
                markerfacecolor=face,
                markersize=6.5,
                label=name if face != "none" else None,
            )
    ax.axhline(0, color=colour("sft"), linestyle=":", linewidth=1)
    points = [kl for places in (usual, drawn) for name in places for kl, _ in places[name]]
    kl_axis(ax, max(*points, *bounds))
    ax.set_ylabel("gold utility gained over SFT")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3)
    return figure


show(
    village_frontier(),
    "frontier",
    alt="Gold utility gained over the square root of KL from SFT. Best-of-n is a rising curve with a band; filled points "
    "are PPO and DPO at their usual settings, hollow ones at randomly drawn settings.",
)
rows = []
for name, points in usual.items():
    ahead = [gain - np.interp(kl, bounds, curve) for (kl, gain), curve in zip(points, gained, strict=True)]
    mean, low, high = interval(ahead)
    kl, gain = np.mean(points, axis=0)
    rows.append([name, f"{kl:.2f}", f"{gain:+.2f}", f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"])
table(["method", "KL, nats", "gained", "ahead of best-of-n at that KL"], rows)

# %% [markdown]
# Read the last column: it compares each seed's policy with best-of-n of the *same* seed at the *same* distance from SFT
# (at n = 16, if the policy went further). Best-of-n is placed at an upper bound of its KL, so that its curve is drawn too
# far to the right, if anything. Who compares final win rates instead would compare different distances.

# %% [markdown]
# ## 6. What it costs
#
# *Takeaway: best-of-N trains no policy and pays with every answer; the break-even is a number of answers.*
#
# Seconds depend on the machine, so we count *passes*: one forward pass of a model of this size over one response. A
# backward pass counts two. PPO samples (1), asks the reference, the value network and the reward model, which asks the
# SFT model in turn (4), then makes several epochs through policy and value network (3 each). DPO asks the reference once
# (1) and learns once (3), on both sides of a pair. The reward model asks the SFT model once (1) and learns twice (3 each),
# on both sides.

# %%
metrics = read_metrics(village.ppo(lab, 0))
compared = len(read_pairs(village.reward(lab, 0) / "preferences.jsonl"))
rollout = lab.pick(PPOConfig.rollout, 16)
updates = sum(row["updates"] for row in metrics)  # of minibatches; some epochs end early
passes = {
    "reward model": compared * 2 * (1 + 3 * RewardConfig.epochs),
    "PPO": len(metrics) * rollout * 5 + round(updates * rollout / PPOConfig.minibatches * 6),
    "DPO": compared * 2 * (1 + 3),
}
passes_of = {"best of 16": passes["reward model"], "PPO": passes["reward model"] + passes["PPO"], "DPO": passes["DPO"]}
own = {
    "out",
    "seed",
    "resume",
    "overwrite",
    "tensorboard",
    "data",
    "skip_bad",
    "world_seed",
    "world_share",
    "save_every",
}


def settings(config):
    """How many fields of a configuration are about the method."""
    return len({field.name for field in dataclasses.fields(config)} - own)


def lines(*modules):
    return sum(len(inspect.getsource(module).splitlines()) for module in modules)


table(
    ["", "best of 16", "PPO", "DPO"],
    [
        [
            "models in memory while training",
            "–",
            "5: policy, reference, value, reward and the SFT model it reads",
            "2: policy, reference",
        ],
        ["what is random", "sampling", "prompts, sampling, minibatches", "minibatches"],
        ["settings", "2: n, temperature", settings(PPOConfig), settings(DPOConfig)],
        ["lines of code and prose", "–", lines(ppo_stage, rollouts), lines(dpo_stage, dpo_pairs)],
        ["training passes", *(f"{passes_of[name]:,}" for name in ("best of 16", "PPO", "DPO"))],
        ["passes an answer", "48: 16 sampled, 16 scored by two models", "1", "1"],
    ],
)

# %%
served = np.geomspace(1, 1e5, 60)
lines_of_cost = {
    "best of 16": passes_of["best of 16"] + 48 * served,
    "PPO": passes_of["PPO"] + served,
    "DPO": passes_of["DPO"] + served,
}
break_even = (passes_of["PPO"] - passes_of["best of 16"]) / 47


@styled
def costs():
    figure, ax = canvas(None)
    looks = (("best_of_n", "-."), ("ppo", "-"), ("dpo", "--"))
    for (name, y), (key, style) in zip(lines_of_cost.items(), looks, strict=True):
        ax.plot(served, y, style, color=colour(key), label=name)
    ax.axvline(break_even, color=colour("muted"), linewidth=1, linestyle=":")
    ax.set(xscale="log", yscale="log", xlabel="answers served", ylabel="passes in all")
    ax.legend()
    return figure


show(
    costs(),
    "costs",
    alt="Passes in all over answers served, both logarithmic: best-of-16 rises steeply; PPO and DPO stay flat for long."
    " A dotted line marks where PPO becomes cheaper than best-of-16.",
)
of_dpo = (passes_of["DPO"] - passes_of["best of 16"]) / 47
say(f"""
PPO has paid for itself against best-of-16 after {break_even:,.0f} answers, DPO
{f"after {of_dpo:,.0f}" if of_dpo > 0 else "from the first one on, because it needs no reward model"}. DPO's training takes
{passes_of["DPO"] / passes_of["PPO"]:.0%} of PPO's passes, and holds two models instead of five.
The {compared:,} comparisons themselves cost the same for all, and in real life more than everything on this page.
""")

# %% [markdown]
# ## 7. What only PPO can do
#
# *Takeaway: PPO optimises any number that you can compute; DPO only what comparisons express.*
#
# Suppose that answers must be short: a price for each token beyond 12. No labeler was asked about that, so no
# comparison says it. PPO takes the reward model's score, subtracts the price, and goes on. The knob is that one line.

# %%
source_of(stages.capped)

# %% [markdown]
# **Predict:** what share of PPO's answers is longer than the cap without the price? And with it, is utility lost?

# %%
flexible = measure("ppo-takes-any-reward", lab)
short = [stages.evaluated(lab, stages.capped(lab, seed), seed) for seed in SEEDS]
plain = [stages.evaluated(lab, village.ppo(lab, seed), seed) for seed in SEEDS]
lengths = [np.concatenate([a["length"] for a in answers]) for answers in (plain, short)]
show(
    histogram_pair(*lengths, ("PPO", "PPO, capped"), "tokens of an answer"),
    "lengths",
    alt="Histograms of the lengths of PPO's answers without and with a price on length; a line marks each mean.",
)
lost = interval([stages.mean_gold(b) - stages.mean_gold(a) for a, b in zip(plain, short, strict=True)])
say(f"""
{flexible}. DPO, which cannot be told, is over the cap in {flexible.mean("DPO"):.0%}.

The wish has a price, in true utility: {lost[0]:+.2f} [{lost[1]:+.2f}, {lost[2]:+.2f}].
""")

# %% [markdown]
# ## 8. Which is easier to set wrong?
#
# *Takeaway: "simpler" counts what there is to set; whether it also means "harder to set wrong" has to be measured.*
#
# Organisations are said to have moved from PPO to DPO to reduce complexity. Section 6 counted complexity. Here is what
# it would buy: take the settings of a first attempt, wrong by random factors, and see how far utility moves from that of
# the usual settings. (In either direction: the usual settings are not the best for every seed.) Both methods get the same
# factors.

# %%
easier = measure("dpo-is-easier-to-set", lab)
table(
    ["seed", "learning rate times", "beta times", "gained by PPO", "gained by DPO"],
    [
        [
            seed,
            *(f"{factor:.2f}" for factor in stages.settings_drawn(seed)),
            *(f"{drawn[name][seed][1]:+.2f}" for name in ("PPO", "DPO")),
        ]
        for seed in SEEDS
    ],
)
show(
    sweep(easier.arms, "distance from the usual utility", control="PPO"),
    "settings",
    alt="How far utility moves from that of the usual settings when settings are drawn at random, for PPO and DPO.",
)
say(f"{easier}.")
say(
    {
        "confirmed": "In this world DPO forgives more, which is one more reason to move, beside the shorter table above.",
        "refuted": "In this world DPO forgives *less*. What organisations saved was machinery, not tuning.",
        "inconclusive": "So few draws do not separate the two. What the table of section 6 says about machinery stands; "
        "that DPO also forgives more is not shown here.",
    }[easier.verdict]
)

# %% [markdown]
# ## 9. Common, not mandatory
#
# *Takeaway: leave one stage out at a time; it is cheap to skip where something else does the same work.*
#
# **Predict:** rank the three omissions by what they cost: pretraining, SFT, or training on preferences.

# %%
skips = {slug: measure(slug, lab) for slug in ("skip-pretraining", "skip-sft", "skip-rl")}
subsets = {
    "SFT alone": skips["skip-pretraining"].arms["SFT alone"],
    "pretraining": skips["skip-sft"].arms["pretraining"],
    "pretraining, DPO": skips["skip-sft"].arms["pretraining, DPO"],
    "pretraining, SFT": skips["skip-pretraining"].arms["pretraining, SFT"],
    "pretraining, SFT, DPO": skips["skip-sft"].arms["all three"],
    "pretraining, SFT, PPO": skips["skip-rl"].arms["PPO"],
    "pretraining, SFT, best of 16": skips["skip-rl"].arms["best of 16"],
}


@styled
def all_subsets():
    figure, ax = canvas(None, height=2.9, width=4.6)
    for row, values in enumerate(subsets.values()):
        mean, low, high = interval(values)
        ax.plot(values, [row] * len(values), "o", color=colour("muted"), markersize=2.5, alpha=0.7)
        ax.plot([low, high], [row, row], color=colour("sft"), linewidth=5, alpha=0.35, solid_capstyle="butt")
        ax.plot(mean, row, "o", color=colour("sft"), markersize=6)
    ax.set_yticks(range(len(subsets)), list(subsets))
    ax.set_ylim(len(subsets) - 0.5, -0.5)
    ax.set_xlabel("gold utility, seeds, mean and 95 % interval")
    return figure


show(
    all_subsets(),
    "subsets",
    alt="Gold utility of seven subsets of the stages, one row each, with intervals over seeds.",
)
for what, slug in (("pretraining", "skip-pretraining"), ("SFT", "skip-sft"), ("training on preferences", "skip-rl")):
    say(f"- without {what}: {skips[slug]}")

# %% [markdown]
# "Same" means here: within 0.3 of utility, less than a tenth of what a right and complete answer is worth (3.7). A
# *refuted* row is a difference that matters, in the direction that its sign says; a *confirmed* one can be skipped at
# no cost; *inconclusive* means that three seeds cannot tell.
#
# ## What the metrics say
#
# | metric | what it is | when it looks wrong |
# |-|-|-|
# | `gold` | mean true utility of sampled answers | known in simulated worlds only: elsewhere ask people |
# | `win_rate_vs_sft` | how often the answer beats SFT's, ties half | SFT against itself is not near one half |
# | `objective/kl`, `kl_to_sft` | mean summed log-ratio | clearly negative: the samples are not the policy's |
# | `harmful_compliance` | share of harmful requests fulfilled | falls with `correct`: everything is refused |
# | `mean_length` | tokens an answer | rises with the win rate: the judge may like length |
# | passes | forward passes over a response | compare them, not seconds of different machines |
#
# ## Exercises
#
# `minipost exercise 11` checks your answers in `exercises.py`.
#
# 1. `win_rate`: from utilities of two models' answers, ties half.
# 2. `undominated`: which points of a KL-reward plot are on the frontier?
# 3. `break_even`: after how many answers is training cheaper than best-of-n?
# 4. `kl_to_reference`: this one is written, plausible, and puts every model at the wrong place on the frontier. Find
#    the bug.
# 5. Open: take a hollow point of the frontier that is worse than its filled one, and repair it by changing *one* other
#    setting. `village.dpo(lab, seed, learning_rate=..., beta=...)`, or `village.ppo` with the same arguments, trains
#    it, `stages.evaluated` examines it.
#
# ## This bug shipped
#
# - KL that is reported negative, and stays so: [trl#351](https://github.com/huggingface/trl/issues/351),
#   [trl#925](https://github.com/huggingface/trl/issues/925). Single log-ratios may be; their mean over the policy's own
#   samples may not. Where sampling and scoring differ (temperature, a minimum length, a truncated vocabulary), the
#   samples are not the policy's own.
# - A leaderboard's win rate that readers could not recompute until ties counted half:
#   [alpaca_eval#290](https://github.com/tatsu-lab/alpaca_eval/issues/290).
# - A toy task that PPO "should" solve, and does not:
#   [trlx#214](https://github.com/CarperAI/trlx/issues/214). The micro-world of section 1 says what there was to reach.
# - "The chosen answer's probability falls in DPO":
#   [direct-preference-optimization#32](https://github.com/eric-mitchell/direct-preference-optimization/issues/32). No
#   bug: see lesson 10. Whether KL was spent without utility is what the frontier shows.
#
# ## References
#
# Rafailov et al. 2023, *Direct Preference Optimization*, eq. 3 (the objective) and eq. 4 (its optimum). Ouyang et al.
# 2022, *Training language models to follow instructions with human feedback*, section 3. Gao et al. 2022, *Scaling laws
# for reward model overoptimization*, section 3 (the square-root scale). Beirami et al. 2024, *Theoretical guarantees on
# the best-of-n alignment policy*, theorem 1. Nakano et al. 2021, *WebGPT*, appendix I (the unbiased estimate). Schulman
# 2020, *Approximating KL divergence*.
