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
# # Lesson 13: RLOO and GRPO
#
# **You will do:** replace PPO's value network by a mean over other answers; measure, with exact gradients, what that saves, what it
# costs, and which of two popular divisions bends the gradient.
#
# **You will learn:** why a baseline may be anything but the answer's own doing; what GRPO's division by the spread does to easy
# and hard prompts; why dividing by the length makes wrong answers longer; and why a loss of 0 is fine.
#
# **You need:** lesson 9 (PPO). About two minutes on two cores, most of it training; seconds if the runs are there already.

# %%
import numpy as np

from lessons.experiments import Lab, measure, village
from lessons.experiments.measured.groups import (
    GROUP,
    noise,
    plain,
    policy,
    prompt_weight,
    sampled_gradients,
    true_gradient,
)
from lessons.experiments.measured.micro_reward import micro_world
from lessons.experiments.measured.optimising import GOLD, PROXY, diary
from lessons.tools import say, show, source_of, table
from lessons.tools.pictures import curve, heat, sweep, token_timeline
from minipost.autograd import Tensor
from minipost.losses import advantages, aggregate, k3, policy_loss
from minipost.model import Model
from minipost.report.style import canvas, colour, styled
from minipost.runs import read_metrics
from minipost.stages import grpo, rollouts

lab = Lab()

# %% [markdown]
# ## 1. A baseline costs nothing and saves much
#
# *Takeaway: subtract anything that the answer itself has not decided; the mean of the estimate stays, its noise does not.*
#
# The policy gradient is $\nabla E[r] = E[r(y)\, \nabla \log \pi(y)]$. Scores sum to nothing, $E[\nabla \log \pi(y)] = 0$, so for any $b$ that does not
# depend on $y$
#
# $$E[(r(y) - b)\, \nabla \log \pi(y)] = \nabla E[r].$$
#
# A reward model's scale has no origin: add 3 to all scores, and the true gradient is the same. The *estimate* from four
# answers is not. In a micro-world of 85 answers both are known.
#
# **Predict:** the mean reward goes from 0 to 4 spreads. How does the noise of the estimate grow without a baseline? And with the
# mean of the other three answers as one?

# %%
world = micro_world(0)
logits = policy(world, 0)  # [P, K, A]
p = np.exp(world.response_logps(logits)[0])  # [N] of the first prompt
centred = world.rewards - p @ world.rewards[0]
true, offsets = true_gradient(world, logits, centred), np.arange(5.0)
curves = {
    name: [
        noise(sampled_gradients(world, logits, centred + b, kind, lab.pick(3000, 50), np.random.default_rng(1)), true)
        for b in offsets
    ]
    for name, kind in (("no baseline", plain), ("the others' mean (RLOO)", advantages.rloo))
}
show(
    curve(offsets, curves, "mean of the rewards", "noise of the gradient, in its lengths"),
    "offset",
    alt="Noise of the gradient estimate against the mean of the rewards: without a baseline it grows with it, with the "
    "mean of the other answers it is flat.",
)
less = measure("group-baseline-less-noise", lab)
say(
    f"With the others' mean nothing changes at all: RLOO is shift invariant (law P81). At a mean of 1, over {len(less.arms['none'])} "
    f"worlds: {less}. The true mean, which nobody has, would reach {less.mean('the true mean'):.2f}: three answers are a rough "
    "estimate of it."
)
show(
    sweep(less.arms, "noise, in lengths of the gradient", control="none"),
    "baselines",
    alt="Noise of the gradient for three baselines, a dot a world, mean and interval.",
)

# %% [markdown]
# ## 2. Leave one out
#
# *Takeaway: the mean of the others is a baseline; the mean of all is not quite one, since it contains the answer.*
#
# RLOO samples K answers to each prompt (Ahmadian et al. 2024): $A_k = r_k - \frac{1}{K-1}\sum_{j \ne k} r_j$. In NumPy:


# %%
def rloo_in_numpy(rewards):  # [G, K] -> [G, K]
    K = rewards.shape[1]
    return np.array([[row[k] - np.delete(row, k).mean() for k in range(K)] for row in rewards])


source_of(advantages.rloo)
r = np.random.default_rng(0).normal(5, 1, (6, 4))
assert np.allclose(advantages.rloo(r), rloo_in_numpy(r))
assert np.allclose(advantages.rloo(r), 4 / 3 * (r - r.mean(axis=1, keepdims=True)))  # law P80

# %% [markdown]
# The mean of all gives the same up to the factor K/(K − 1): too short by a constant, and pointing the right way (law P80). A real
# group: four answers of the SFT model to one prompt, their scores, and what each of them is taught.

# %%
sft, judge = Model.load(village.sft(lab)), Model.load(village.reward(lab), "score")
config = grpo.GRPOConfig(method="rloo", prompts=lab.pick(12, 2))
prompts = rollouts.WorldPrompts(village.world(), sft.tokenizer)
roll = grpo.rollout(
    sft.weights,
    sft,
    prompts.draw,
    lambda examples: rollouts.reward_scores(judge, examples, 128),
    np.random.default_rng(2),
    config,
)
print("examples", len(roll.examples), " rewards", roll.rewards.shape, " advantages", roll.advantages.shape)
spread = roll.rewards.reshape(-1, GROUP).std(axis=1)
g = int(spread.argmax())
print("prompt:", sft.tokenizer.decode(roll.examples[g * GROUP].prompt, skip_special=True).strip())
rows = slice(g * GROUP, (g + 1) * GROUP)
table(
    ["answer", "score", "advantage"],
    [
        [" ".join(sft.tokenizer.decode(e.response, skip_special=True).split())[:90], f"{s:+.2f}", f"{A:+.2f}"]
        for e, s, A in zip(roll.examples[rows], roll.scores[rows], roll.advantages[rows], strict=True)
    ],
)
one = min(range(rows.start, rows.stop), key=lambda i: len(roll.examples[i].response))
response, prompt = roll.examples[one].response[:14], roll.examples[one].prompt[-3:]
show(
    token_timeline(
        [sft.tokenizer.decode([t]) for t in [*prompt, *response]],
        ["prompt"] * len(prompt) + ["response"] * len(response),
        [0] * len(prompt) + [1] * len(response),
        [0.0] * len(prompt) + [float(roll.advantages[one])] * len(response),
        "advantage",
    ),
    "timeline",
    alt="The tokens of the shortest of four answers. Every token of the response carries a dot and the same advantage.",
)

# %% [markdown]
# All tokens of an answer get the same advantage: no one tries to say which word was to blame. PPO's value network does,
# when it is good; that is what is given up.
#
# ## 3. GRPO divides by the spread
#
# *Takeaway: dividing by the group's standard deviation turns up the volume of prompts on which answers hardly differ.*
#
# GRPO (Shao et al. 2024, section 4.1.2): $A_k = (r_k - \bar r) / (\mathrm{std} + 10^{-4})$. Now all prompts speak equally loudly, whatever their
# reward's scale. But the std is the answers' own doing, so the estimate is biased. For answers that are right (1, with chance p) or
# wrong (0), everything can be summed over the binomial distribution. RLOO pulls each prompt with weight 1.
#
# **Predict:** by which factor does GRPO pull a prompt that is solved in 5 of 100 samples, as against one that is solved in half?

# %%
chances = np.linspace(0.01, 0.99, 99)
lines = {
    f"GRPO, {K} answers": [
        prompt_weight(advantages.grpo, c, K) / prompt_weight(advantages.grpo, 0.5, K) for c in chances
    ]
    for K in (4, 16, 64)
}
lines["RLOO"] = [prompt_weight(advantages.rloo, c, 16) for c in chances]
lines["1 / std"] = 0.5 / np.sqrt(chances * (1 - chances))
show(
    curve(chances, lines, "chance that an answer is right", "pull of the prompt (1 at one half)"),
    "pull",
    alt="The weight of a prompt's gradient against the chance that its answers are right. RLOO is flat at 1; GRPO rises towards both "
    "ends, more so with larger groups, and follows 1 over the standard deviation in the middle.",
)
pull = {K: prompt_weight(advantages.grpo, 0.05, K) / prompt_weight(advantages.grpo, 0.5, K) for K in (4, 16, 64)}
weighs = measure("grpo-weighs-prompts", lab)
say(
    f"At 5 in 100 GRPO pulls {pull[4]:.2f}, {pull[16]:.2f} and {pull[64]:.2f} times as hard, for groups of 4, 16 and 64; the limit is 1/std. "
    "With few answers most groups at the ends agree, and a group without spread teaches nothing (law P82): that "
    "keeps the curves of small groups below the limit. Over group sizes, for prompts solved in 90 % against 50 %: "
    f"{weighs}. Is it a bug? With large groups it climbs 2 arcsin √p, summed over prompts, in place of p."
)
source_of(advantages.grpo)

# %% [markdown]
# ## 4. Divided by one's own length
#
# *Takeaway: a penalty that is shared by more tokens hurts each of them less, so wrong answers grow.*
#
# GRPO's loss averages over an answer's tokens first, and over answers then. A table of what a token weighs, for
# answers of 2, 4 and 8 tokens; the three namings are those of `minipost.losses.aggregate`:

# %%
mask = np.arange(8) < np.array([2, 4, 8])[:, None]  # [3, 8]
weights = {}
for weighting in ("sequence", "token", "constant"):
    x = Tensor(np.zeros(mask.shape))
    aggregate(x, mask, weighting, 8).backward()
    weights[weighting] = x.grad.max(axis=1)  # of one token of each answer
show(
    heat(list(weights.values()), list(weights), ["2 tokens", "4 tokens", "8 tokens"], title="weight of one token"),
    "weights",
    alt="A table: under sequence weighting a token of the shortest answer weighs four times one of the longest; under the other "
    "two all weigh the same.",
)
source_of(aggregate)

# %% [markdown]
# To see what it does, take away every other reason for length: an answer of the micro-world is *right* if it begins with the first
# word. How long it goes on has nothing to do with that.
#
# **Predict:** does a step of GRPO change the length of the wrong answers? In which direction?

# %%
grow = measure("wrong-answers-grow", lab)
grown = grow.arms["1 / its answer's length"]
show(
    sweep(grow.arms, "growth of wrong answers\nper step, tokens / 1000", control="the same for all"),
    "growth",
    alt="Growth of wrong answers in a unit step along GRPO's mean update for two weightings, a dot a world, mean and interval.",
)
say(
    f"{grow}. With equal weights it is 0 up to rounding: the words after the first are no one's business. With the other it is small in "
    f"one step, of one sign in {max(sum(x > 0 for x in grown), sum(x < 0 for x in grown))} of {len(grown)} worlds, and repeated "
    "thousands of times. Right answers are pushed the other way: the short ones are praised more a token."
)

# %% [markdown]
# ## 5. Where the KL stands
#
# *Takeaway: k1 belongs in the reward, k3 in the loss; exchange them and one does nothing.*
#
# RLOO takes $\beta$ times the log-ratio off the reward, where the score function turns it into the gradient of the KL (law P53). GRPO adds
# $\beta$ times k3 to the loss and differentiates it; that is the gradient of the *other* KL, $\mathrm{KL}(\pi_{ref} \| \pi)$ (law P52). Near the
# reference both agree to second order. k1 inside the loss has an expected gradient of zero: it adds noise and nothing else.

# %%
source_of(k3)
source_of(grpo.minibatch_loss)

# %% [markdown]
# ## 6. The loss is zero, and that is fine
#
# *Takeaway: a policy loss is a device for gradients; its value says nothing.*
#
# At ratio 1 the loss is the mean of $-A$, and group advantages sum to 0.
#
# **Predict:** loss and gradient norm of the very first update?

# %%
A = np.repeat(roll.advantages[:, None], roll.mask.shape[1], axis=1)
logp = Tensor(roll.old_logps.astype(np.float64))
loss = policy_loss(logp, roll.old_logps, A, roll.mask, 0.2, "sequence")
loss.backward()
assert abs(loss.item()) < 1e-6
say(
    f"The loss of this rollout is {abs(loss.item()):.6f}; its gradient with respect to the log-probabilities has length "
    f"{np.linalg.norm(logp.grad):.3f} (law P84). Watch the reward, not the loss."
)

# %% [markdown]
# ## 7. In the village, from as many answers as PPO
#
# *Takeaway: compare methods by the answers that they sampled, and say how far each has moved.*
#
# The stage reads like PPO without its value network. This is how a rollout becomes advantages:

# %%
source_of(grpo.rollout)

# %% [markdown]
# One knob, the method. All get 14 rollouts of 64 answers (16 prompts, 4 each, where PPO asks 64), the same learning rate and β.
#
# **Predict:** RLOO against PPO, and GRPO against RLOO: better, the same, worse?


# %%
@styled
def training(runs):
    """Proxy and gold over rollouts, one line a method: the mean over seeds."""
    figure, left = canvas(None, height=2.5, width=7.4)
    left.remove()
    for ax, metric, name in zip(
        figure.subplots(1, 2), (PROXY, GOLD), ("proxy: reward model's score", "gold: true utility"), strict=True
    ):
        for method, style in (("ppo", "-"), ("rloo", "--"), ("grpo", "-.")):
            mean = np.mean([diary(run, metric) for run in runs[method]], axis=0)
            ax.plot(np.arange(1, len(mean) + 1), mean, style, color=colour(method), label=method.upper())
        ax.set(xlabel="rollout", title=name)
    ax.legend()
    return figure


found = measure("groups-instead-of-values", lab)
seeds = range(len(found.arms["PPO"]))
runs = {
    "ppo": [village.ppo(lab, seed) for seed in seeds],
    "rloo": [village.grpo(lab, seed, method="rloo") for seed in seeds],
    "grpo": [village.grpo(lab, seed) for seed in seeds],
}
show(
    training(runs),
    "training",
    alt="The reward model's score and the true utility over rollouts for PPO, RLOO and GRPO, means over seeds.",
)
show(
    sweep(found.arms, "true utility, held out", control="PPO"),
    "methods",
    alt="True utility on held-out prompts of SFT, PPO, RLOO and GRPO: a dot a seed, mean and interval.",
)
kl = {name: np.mean([diary(run, "objective/kl")[-1] for run in folders]) for name, folders in runs.items()}
idle = np.mean([row["frac_reward_zero_std"] for run in runs["grpo"] for row in read_metrics(run)])
say(
    f"{found}. GRPO has {found.mean('GRPO'):+.2f}, SFT {found.mean('SFT'):+.2f}. They end at {kl['ppo']:.1f} (PPO), {kl['rloo']:.1f} (RLOO) and "
    f"{kl['grpo']:.1f} (GRPO) nats from SFT, so part of any difference is distance. PPO makes up to 8 updates a rollout here, the other two up to 4; and "
    f"they train half as many weights. In {idle:.0%} of GRPO's groups all four rewards were equal."
)

# %% [markdown]
# ## What the metrics say
#
# | Metric | What it should look like | What it means if it does not |
# |-|-|-|
# | `objective/scores` | rises: this is the one to watch | flat: see `reward_std` |
# | `reward_std` | the mean spread within a group | near 0: the answers to a prompt are all the same; sample warmer, or ask other prompts |
# | `frac_reward_zero_std` | 0 with a reward model; with right-or-wrong rewards well below 1 | near 1: prompts are too easy or too hard, most of the rollout is idle |
# | `loss/policy_avg` | about 0, always | no measure of anything |
# | `loss/kl_avg` | 0 at the start, rises | jumps: a token that the policy now hardly ever says; k3 is exponential there |
# | `objective/kl` | as in lesson 9 | as in lesson 9 |
# | `policy/ratio`, `policy/approxkl_avg`, `policy/clipfrac_avg` | 1, 0, 0 at the first minibatch | sampling and training disagree |
# | `response/length` | settles | drifts: section 4 |
# | `grad_norm` | not 0, though the loss is | 0: all groups are without spread |
#
# ## Exercises
#
# The stubs are in `exercises.py`; `minipost exercise 13` checks them, and `--hint` helps in steps.
#
# 1. **`rloo`** and 2. **`grpo`**: advantages of groups, safe in float32 with a large offset.
# 3. **`token_weights`**: who has how many votes.
# 4. **`group_means`** has a hidden bug: everything runs, and the reward even rises. For which rewards is the answer right?
# 5. *Open:* run `village.grpo(lab, weighting=...)` for "sequence" and "constant" over three seeds, and plot `response/length`. Does section 4
#    show in the village, whose reward model has opinions about length?
# 6. *Open:* at 64 answers a rollout, which is best: 32 prompts with 2 answers, or 4 with 16? Predict from section 1 first.
#
# ## This bug shipped
#
# **"My loss is 0."** Section 6, one of the most asked questions:
# [open-r1#239](https://github.com/huggingface/open-r1/issues/239), [trl#2703](https://github.com/huggingface/trl/issues/2703),
# [trl#3452](https://github.com/huggingface/trl/issues/3452). Sometimes it is not fine: if the *gradient* is 0, too, all groups are without
# spread, as in [trl#3857](https://github.com/huggingface/trl/issues/3857).
#
# **Length.** Answers that grew into gibberish, and a loss that was divided by another length from release to release:
# [trl#3138](https://github.com/huggingface/trl/pull/3138), [trl#3256](https://github.com/huggingface/trl/pull/3256). The argument that it is a bias at
# all, and objections: [understand-r1-zero#10](https://github.com/sail-sg/understand-r1-zero/issues/10),
# [#25](https://github.com/sail-sg/understand-r1-zero/issues/25).
#
# ## References
#
# - Williams 1992, *Simple statistical gradient-following algorithms* (REINFORCE, and why a baseline is free).
# - Ahmadian et al. 2024, *Back to basics: revisiting REINFORCE-style optimization for learning from human feedback in LLMs* (RLOO).
# - Shao et al. 2024, *DeepSeekMath*, section 4.1 (GRPO).
# - Liu et al. 2025, *Understanding R1-Zero-like training: a critical perspective* (both biases; "Dr. GRPO").
# - Schulman 2020, *Approximating KL divergence* (k1, k2, k3).
