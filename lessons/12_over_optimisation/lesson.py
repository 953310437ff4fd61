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
# # Lesson 12: over-optimisation
#
# **You will do:** optimise against a reward model until it breaks, exactly in a small world and with PPO in the
# village; fit the two curves of Gao et al. (2022), and turn the knobs that are said to help.
#
# **You will learn:** why the proxy always rises and the truth need not; what "distance from the start" has to do with
# it; which remedies our measurements support, and which they do not.
#
# **You need:** lessons 7 to 9 (their models are trained for you if they are not there), and about three minutes on two
# cores.

# %%
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lessons.experiments import Lab, measure, village
from lessons.experiments.candidates import candidates, scored
from lessons.experiments.measured.over_optimisation import (
    BETA_GRID,
    FEW,
    SIZES,
    Curve,
    ProxyWorld,
    bon_form,
    fit,
    misfit,
    proxy_world,
    rl_form,
    trained_harder,
    trajectory,
)
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import sweep
from minipost.losses import token_rewards
from minipost.report.style import HEIGHT, WIDTH, colour, styled
from minipost.world.micro import exact_objective, exact_reward, optimal_policy

lab = Lab()

# %% [markdown]
# ## 1. A poor reward model, exactly
#
# *Takeaway: optimising a proxy finds what the proxy gets wrong, because that is where it promises most.*
#
# A world of 781 responses to each of three prompts, all of them written down. The reward model is linear and could
# represent the truth, but it has learned from only 20 comparisons a prompt: it is wrong by chance, in every direction.
#
# Two ways to optimise against it, both computed without sampling. Best-of-n (lesson 8) for n up to 4096; and what RLHF
# would reach if its optimiser were perfect, for a price $\beta$ of a nat of KL (lesson 9):
#
# $$\pi^*(y) \propto \pi_0(y)\, e^{r(y) / \beta}.$$

# %%
source_of(optimal_policy)
poor = proxy_world(0, FEW)
print("start", poor.start.shape, "proxy", poor.proxy.shape, "gold", poor.world.rewards.shape)
for beta in (2.0, 0.25):
    best = optimal_policy(poor.start, poor.proxy, beta)  # [P, N]
    value = exact_objective(best, poor.start, poor.proxy, beta)  # [P]
    for other in (poor.start, optimal_policy(poor.start, poor.proxy, 2 * beta)):
        assert (exact_objective(other, poor.start, poor.proxy, beta) <= value + 1e-9).all()  # it is the maximum
rough = poor.world.rewards - poor.proxy
centred = rough - rough.mean(axis=1, keepdims=True)
say(
    f"The proxy is wrong by {np.sqrt((centred**2).mean()):.2f} (root mean square, up to a constant a prompt), the "
    f"utility itself spreads by {poor.world.rewards.std(axis=1).mean():.2f}."
)

# %% [markdown]
# Distance is measured as $d = \sqrt{KL(\pi \,\|\, \pi_0)}$: for small steps KL grows with the square of the step, so
# its root behaves like a length.
#
# **Predict:** both curves start at 0. Far out, is the gold below the proxy? Below its own maximum? Below 0?


# %%
def draw(ax: Axes, curve: Curve, title: str) -> None:
    """Proxy (dashed) and gold (solid) over the distance from the start."""
    ax.plot(curve.d, curve.proxy, "--", color=colour("muted"), label="proxy")
    ax.plot(
        curve.d, curve.gold, "-o", color=colour("best_of_n" if "best" in title else "ppo"), markersize=3.5, label="gold"
    )
    ax.axhline(0, color=colour("rule"), linewidth=1)
    ax.set_title(title)
    ax.set(xlabel="d = √KL from the start", ylabel="gain over the start", ylim=(-0.5, 4.5))
    ax.legend(loc="upper right")


@styled
def both_ways(proxy: ProxyWorld) -> Figure:
    """Best-of-n beside the optimum of RLHF."""
    figure = Figure(figsize=(2 * WIDTH, HEIGHT), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw(left, proxy.best_of_n(), "best-of-n")
    draw(right, proxy.rl(), "RLHF's optimum")
    return figure


show(
    both_ways(poor),
    "exact",
    alt="Two panels, best-of-n and RLHF's optimum: over the distance from the start the dashed proxy leaves the "
    "picture at the top, the gold rises a little, flattens and bends down.",
)
bon, rl = poor.best_of_n(), poor.rl()
n_best, beta_best = SIZES[int(bon.gold.argmax())], BETA_GRID[int(rl.gold.argmax())]
say(
    f"At the far end the proxy claims a gain of {bon.proxy[-1]:.1f}; the gold has gained {bon.gold[-1]:.2f}, after a "
    f"maximum of {bon.gold.max():.2f} at n = {n_best} and of {rl.gold.max():.2f} at β = {beta_best:g}. Had we known "
    "the truth, "
    f"{poor.world.rewards.max(axis=1).mean() - exact_reward(poor.start, poor.world.rewards).mean():.2f} was there to "
    "be gained."
)

# %% [markdown]
# Nobody cheats here. A proxy is the truth plus an error; whoever takes the *maximum* of the sum takes the largest
# errors along with the largest truths. That is regression to the mean, also called the optimiser's curse; with a
# policy that searches by gradient it is called reward hacking.
#
# Does the gold always turn? One world is an anecdote:

# %%
turns = measure("gold-turns", lab)
show(
    sweep(turns.arms, "exact gain in gold", control="2.0", knob="price of KL, beta (ever cheaper)"),
    "turns",
    alt="Exact gold gain at RLHF's optimum for four prices of KL from dear to cheap, one dot a world with mean and "
    "interval.",
)
late = [max(row[:-1]) > row[-1] for row in zip(*turns.arms.values(), strict=True)]
say(
    f"**Verdict:** {turns}. In {sum(late)} of {len(late)} worlds one of the dearer prices beats the cheapest. "
    + (
        "So in this world the gold always flattens, and only sometimes turns: the linear model errs at random, and its "
        "favourite is seldom *bad*."
        if turns.verdict != "confirmed"
        else "So it does turn, as a rule."
    )
)

# %% [markdown]
# ## 2. The two forms of Gao et al.
#
# *Takeaway: two numbers describe a whole curve; the second one says how bad the reward model is.*
#
# Gao et al. (2022, eq. 1) measured many reward models and found that the gold follows, with two fitted numbers each,
#
# $$R_\text{bon}(d) = d\,(a - b\, d), \qquad R_\text{rl}(d) = d\,(a - b \log d).$$
#
# $a$ is the slope at the start: how good the proxy is where it was trained. $b$ is how fast that wears off. Both are
# linear in $a$ and $b$, so ordinary least squares fits them:

# %%
source_of(bon_form)
source_of(rl_form)
source_of(fit)


@styled
def fitted(judge: ProxyWorld) -> Figure:
    """The exact gold curves with the form that is said to fit each, and the other one."""
    figure = Figure(figsize=(2 * WIDTH, HEIGHT), layout="constrained")
    for ax, curve, title, own, other in zip(
        figure.subplots(1, 2),
        (judge.best_of_n(), judge.rl()),
        ("best-of-n", "RLHF's optimum"),
        (bon_form, rl_form),
        (rl_form, bon_form),
        strict=True,
    ):
        d = np.linspace(0, curve.d.max(), 100)
        ax.plot(
            curve.d,
            curve.gold,
            "o",
            color=colour("best_of_n" if own is bon_form else "ppo"),
            markersize=4,
            label="exact",
        )
        ax.plot(
            d, own(d, *fit(own, curve.d, curve.gold)), "-", color=colour("ink"), linewidth=1.4, label="its own form"
        )
        ax.plot(
            d, other(d, *fit(other, curve.d, curve.gold)), ":", color=colour("muted"), linewidth=1.4, label="the other"
        )
        ax.set_title(title)
        ax.set(xlabel="d = √KL from the start", ylabel="gain in gold")
        ax.legend(loc="lower center")
    return figure


show(
    fitted(poor),
    "forms",
    alt="The exact gold of best-of-n and of RLHF's optimum as points, each with two fitted curves: the form named "
    "after the method as a solid line, the other method's as a dotted one.",
)
rows = []
for name, form, c, peak in (
    ("best-of-n", bon_form, bon, lambda a, b: a / (2 * b)),
    ("RLHF", rl_form, rl, lambda a, b: np.exp(a / b - 1)),
):
    a, b = fit(form, c.d, c.gold)
    at_peak = f"{peak(a, b):.2f}" if b > 0 else "none"
    rows.append(
        [name, f"{a:.2f}", f"{b:.2f}", at_peak, f"{c.d[int(c.gold.argmax())]:.2f}", f"{misfit(form, c.d, c.gold):.3f}"]
    )
table(["gold of", "a", "b", "fitted peak at d", "exact peak at d", "misfit"], rows)

# %% [markdown]
# **Predict:** both forms have two numbers. Is each better on its own method's curve?

# %%
for slug in ("bon-form", "rl-form"):
    say(f"**Verdict:** {measure(slug, lab)}.")

# %% [markdown]
# Gao's forms were found with transformers as policies and reward models. Take them as summaries of a curve, and be careful
# with what they say about its *end*: in this world nobody gets further away than $-\log \pi_0$ of the proxy's
# favourite, and there both curves simply stop.
#
# ## 3. What helps: a better reward model
#
# *Takeaway: more comparisons, and a model that can express what people like, move the whole curve up.*
#
# ### One knob: the number of comparisons
#
# **Predict:** 200 comparisons a prompt instead of 20. Does the slope at the start change, or the bend, or both?


# %%
@styled
def by_pairs(sizes: tuple[int, ...]) -> Figure:
    """Gold over distance for best-of-n by judges from more and more comparisons, and by the utility itself."""
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    ax = figure.subplots()
    for pairs, hue, style, marker in zip(sizes, ("base", "dpo", "best_of_n"), (":", "-.", "--"), "svo", strict=True):
        c = proxy_world(0, pairs).best_of_n()
        ax.plot(c.d, c.gold, style, marker=marker, markersize=3, color=colour(hue), label=f"{pairs} pairs")
    truth = ProxyWorld(poor.world, poor.start, poor.world.rewards).best_of_n()
    ax.plot(truth.d, truth.gold, "-", color=colour("ink"), linewidth=1.4, label="the truth")
    ax.legend()
    ax.set(xlabel="d = √KL from the start", ylabel="gain in gold")
    return figure


show(
    by_pairs((20, 60, 200)),
    "pairs",
    alt="Gold of best-of-n over the distance: with 20 comparisons a prompt it flattens early, with 60 later, with "
    "200 it nearly follows the solid curve of picking by the truth.",
)
pairs = measure("more-pairs-more-gold", lab)
show(
    sweep(pairs.arms, "exact gold gain of best-of-1024", control="20", knob="comparisons a prompt"),
    "pairs-seeds",
    alt="Exact gold gain of best-of-1024 by judges from 20, 60 and 200 comparisons a prompt and by the utility "
    "itself, one dot a world.",
)
say(f"**Verdict:** {pairs}.")
slopes = {k: fit(bon_form, c.d, c.gold) for k in (20, 60, 200) for c in [proxy_world(0, k).best_of_n()]}
table(["comparisons a prompt", "a", "b"], [[k, f"{a:.2f}", f"{b:.2f}"] for k, (a, b) in slopes.items()])

# %% [markdown]
# ### One knob: what the reward model can express
#
# A smaller reward model, which sees which words a response says and not how they follow each other, learns from the
# same 200 comparisons. More data would not help it: what it cannot express it will never learn.

# %%
larger = measure("larger-judge-more-gold", lab)
show(
    sweep(larger.arms, "exact gold gain of best-of-1024", control="words only", knob="the reward model sees"),
    "size",
    alt="Exact gold gain of best-of-1024 by a reward model of words only and by one of words and their order, one "
    "dot a world with mean and interval.",
)
say(f"**Verdict:** {larger}.")

# %% [markdown]
# ## 4. Does that hold for the village's reward model?
#
# *Takeaway: what is exact in a small world is an experiment in a larger one.*
#
# The same 16 answers of the village's assistant to each prompt, picked by lesson 7's reward models from 150, 600 and
# 2500 comparisons:

# %%
here = measure("village-pairs-best-of-n", lab)
show(
    sweep(here.arms, "gain in gold of best-of-16", control="150", knob="comparisons"),
    "village-pairs",
    alt="Gain in gold utility of best-of-16 by the village's reward models of three numbers of comparisons, one dot "
    "a seed with mean and interval.",
)
say(f"**Verdict:** {here}.")

# %% [markdown]
# ### One knob: what the reward model's head reads
#
# Lesson 7's reward model reads likelihoods besides the end token. Is that harder to fool, or easier? PPO pushes both
# kinds for twenty rollouts with twice the usual learning rate and no price of KL:

# %%
pushed_heads = measure("likelihood-head-pushed", lab)
show(
    sweep(pushed_heads.arms, "gold on held-out prompts", control="the end token", knob="the head reads"),
    "heads",
    alt="Gold utility after PPO without a price of KL against a reward model that reads the end token and against one "
    "that reads likelihoods too; one dot a seed with mean and interval.",
)
say(f"**Verdict:** {pushed_heads}.")

# %% [markdown]
# ## 5. PPO, pushed
#
# *Takeaway: a policy that learns can go where no sample of the start would ever have gone.*
#
# Best-of-64 is some three nats away at most. PPO may go anywhere, and with a price of KL of 0 nothing holds it. Twenty
# rollouts with twice the usual learning rate, against lesson 7's reward model, with and without that price. In the
# reward that PPO maximises the price is paid token by token:

# %%
source_of(token_rewards)

# %% [markdown]
# **Predict:** without a price, how much higher is the proxy at the end? And the gold?


# %%
def smooth(x: np.ndarray, width: int = 4) -> np.ndarray:
    """Means of neighbouring rollouts: a single one is 64 answers to 64 new prompts."""
    width = max(1, min(width, len(x) // 2))
    return np.convolve(x, np.ones(width) / width, mode="valid")


BETAS = {0.0: ("ppo", "-", "D"), 0.25: ("sft", "--", "o")}
paths = {beta: {k: smooth(v) for k, v in trajectory(trained_harder(lab, 0, beta)).items()} for beta in BETAS}


@styled
def learning() -> Figure:
    """Proxy and gold over the distance that PPO has gone."""
    figure = Figure(figsize=(2 * WIDTH, HEIGHT), layout="constrained")
    for ax, name, unit in zip(figure.subplots(1, 2), ("proxy", "gold"), ("logits", "utility"), strict=True):
        for beta, (hue, style, marker) in BETAS.items():
            d = np.sqrt(np.maximum(paths[beta]["kl"], 0))  # an estimate of a KL may fall below 0
            ax.plot(
                d, paths[beta][name], style, marker=marker, markersize=3.5, color=colour(hue), label=f"β = {beta:g}"
            )
        ax.set_title(name)
        ax.set(xlabel="d = √KL from SFT", ylabel=f"{unit}, training prompts")
        ax.legend()
    return figure


show(
    learning(),
    "ppo",
    alt="Two panels over the distance that PPO has gone from SFT: the proxy and the gold utility of its rollouts, "
    "one line with a price of KL and one without, which goes further.",
)
free = {name: float(values[-1]) for name, values in paths[0.0].items()}
priced = {name: float(values[-1]) for name, values in paths[0.25].items()}
say(
    f"Without a price PPO has gone {free['kl']:.1f} nats, with it {priced['kl']:.1f}. The proxy ends at "
    f"{free['proxy']:+.2f} against {priced['proxy']:+.2f} logits, the gold of the last rollouts at {free['gold']:+.2f} "
    f"against {priced['gold']:+.2f}."
)

# %% [markdown]
# Rollouts are noisy and on training prompts. The claim is measured on held-out ones, over seeds:

# %%
protects = measure("kl-price-protects-gold", lab)
show(
    sweep(protects.arms, "gold on held-out prompts", control="0", knob="price of KL; SFT is the start"),
    "protects",
    alt="Gold utility on held-out prompts of PPO without a price of KL, with the usual price, and of SFT, one dot a "
    "seed with mean and interval.",
)
sft_gold, free_gold, priced_gold = (protects.mean(arm) for arm in ("SFT", "0", "0.25"))
say(
    f"**Verdict:** {protects}. "
    + (f"Without a price PPO ends {free_gold - sft_gold:+.2f} from SFT, with it {priced_gold - sft_gold:+.2f}.")
)

# %% [markdown]
# ### What it has learned to say
#
# The answers in which proxy and gold disagree most about what changed since SFT:

# %%
before = candidates(lab, village.sft(lab), count=4)
after = candidates(lab, trained_harder(lab, 0, 0.0), count=4)
judge = village.reward(lab)
gain_proxy = scored(lab, judge, after) - scored(lab, judge, before)  # [T, N]
gain_gold = after.gold - before.gold
worst = np.argsort((gain_gold - gain_proxy)[:, 0], kind="stable")[:4]
table(
    ["prompt", "SFT said", "pushed PPO says", "proxy", "gold"],
    [
        [
            before.tasks[t].prompt,
            " ".join(str(before.texts[t, 0]).split()),
            " ".join(str(after.texts[t, 0]).split()),
            f"{gain_proxy[t, 0]:+.2f}",
            f"{gain_gold[t, 0]:+.2f}",
        ]
        for t in worst
    ],
)
changed = {name: after.terms[name].mean() - before.terms[name].mean() for name in ("correct", "tone", "length", "form")}
say("By terms of the utility, mean over all answers: " + ", ".join(f"{k} {v:+.2f}" for k, v in changed.items()) + ".")

# %% [markdown]
# ## 6. Remedies, and what we measured of them
#
# *Takeaway: improve the reward model first; a price of KL keeps the policy near its start, for better and for worse.*
#
# - **A better reward model**: more comparisons, a model that can express more (section 3). The only remedy that raises the
#   curve.
# - **A price of KL, or stopping early**: go less far along the same curve. Gao et al. (section 3.6) found that a
#   price of KL acts like stopping early, and does not change the gold that is reached at a distance.
# - **Fresh comparisons of what the policy says now**: the reward model learns about the places that the policy goes to.
#   Iterated RLHF (Bai et al. 2022, section 4.5) does that weekly.
# - **Several reward models, and the lowest of their scores**: errors by chance differ from model to model (the last exercise).
#
# ## What the metrics say
#
# | Metric | What it should look like | What it means if it does not |
# |-|-|-|
# | `objective/scores` | rises, ever more slowly | rises without end: it has found a hole in the reward model, read samples |
# | `objective/kl` | rises to where the price balances the gain | no balance: beta is too small for this reward model |
# | `gold`, or fresh labels of samples | rises with the scores | flat or falling while scores rise: stop |
# | `response/length` | about the demonstrations' | drifts: length is the commonest hole |
# | `objective/entropy` | falls slowly | collapses: one answer to everything |
#
# ## Exercises
#
# The stubs are in `exercises.py`; `minipost exercise 12` checks them, and `--hint` helps in steps.
#
# 1. **`fit_bon`**: least squares for $d\,(a - b\,d)$.
# 2. **`peaks`**: where the two forms are highest.
# 3. **`optimum`**: the policy that maximises $E\,r - \beta\, KL$, safe at rewards of 10,000.
# 4. **`penalised_rewards`** has a hidden bug, in the very term that should prevent over-optimisation.
# 5. *Open:* reward models in a committee. Train three reward models on different comparisons (three village models; or copy
#    `proxy_world` and let three seeds draw the comparisons in one world) and optimise the mean, then the minimum, of
#    their scores. Which curve bends later?
#
# ## This bug shipped
#
# Sometimes it is a bug that looks like over-optimisation. A penalty made of $|\log \pi - \log \pi_0|$ was added to a
# library to stabilise training ([trl#486](https://github.com/huggingface/trl/pull/486)), and people who see negative
# values of `objective/kl` switch to it ([trl#1161](https://github.com/huggingface/trl/issues/1161)). It silences the
# warning: every estimate looks sane, and their mean is no KL. A negative *estimate* is normal; a negative *mean* says
# that samples and log-probabilities come from different transforms
# ([trl#1005](https://github.com/huggingface/trl/issues/1005)).
#
# And sometimes it is what it looks like: the reward goes up and everything gets the same answer
# ([trl#204](https://github.com/huggingface/trl/issues/204)), a reward model with 90 % accuracy is talked into repetitions
# ([safe-rlhf#71](https://github.com/PKU-Alignment/safe-rlhf/issues/71)), every prompt is answered with a log statement
# ([trl#242](https://github.com/huggingface/trl/issues/242)).
#
# ## References
#
# - Gao et al. 2022, *Scaling laws for reward model overoptimization*, eq. 1 (the two forms), section 3.6 (the price
#   of KL).
# - Stiennon et al. 2020, *Learning to summarize from human feedback*, figure 5: over-optimising a reward model.
# - Rafailov et al. 2023, *Direct preference optimization*, eq. 4: the optimum of section 1.
# - Bai et al. 2022, *Training a helpful and harmless assistant*, section 4.5: iterated online training.
# - Smith and Winkler 2006, *The optimizer's curse*.
